"""`keras-deeplab publish`: adds a training run to the zoo: weights, metrics, log and card."""

import json
import pathlib
import shutil

import click

from keras_deeplab.commands.data_options import FILE, FOLDER
from keras_deeplab.commands.evaluation_options import PROTOCOL, evaluated_images, open_labelled
from keras_deeplab.commands.group import Command


@click.command("publish", cls=Command)
@click.argument("run", type=FOLDER)
@click.option("--name", required=True, help="Zoo name, for example r18_dubai.")
@click.option("--about", type=FILE, required=True, help="JSON: summary, dataset, limits, ...")
@evaluated_images()
@click.option("--zoo", type=FOLDER, help="The zoo's folder; the installed one by default.")
@click.pass_context
def command(context, run, name, about, zoo, **options):
    """Add the best weights of RUN to the zoo as NAME, measured on the validation images."""
    from keras_deeplab.commands.startup import import_tensorflow

    import_tensorflow()
    from keras_deeplab._internal.resources import zoo_dir
    from keras_deeplab.checkpoints.keras_files import save_keras_weights
    from keras_deeplab.checkpoints.loading import load_weights
    from keras_deeplab.data.files.images import ImageFormat
    from keras_deeplab.evaluation.dataset import evaluate
    from keras_deeplab.publishing.measuring import measure
    from keras_deeplab.zoo.loader import image_format
    from keras_deeplab.zoo.run_folders import read_run

    zoo = zoo or zoo_dir()
    if image_format(run) != ImageFormat():
        raise ValueError(f"{run} takes selected bands or a value range: the zoo cannot say so yet.")
    model, table, images = open_labelled(run, options)
    trained = evaluate(model, images, num_classes=len(table)).result()["mIoU"]
    weights = zoo / "weights" / f"{name}.weights.h5"
    save_keras_weights(model, weights, dtype="float16")
    load_weights(model, weights)
    entry = make_entry(json.loads(about.read_text(encoding="utf-8")), read_run(run), weights, zoo)
    entry["storage"] = {"mIoU_trained": trained}
    copy_log(run, entry, zoo, name)
    measure(context, name, entry, model, table, images, zoo, PROTOCOL.choices)


def make_entry(about, run, weights, zoo):
    """The manifest entry of a run, before it is measured."""
    from keras_deeplab.models.layers import MEAN, STD
    from keras_deeplab.zoo.manifest import file_sha256

    licence = about.pop("weights_licence")
    return {
        "status": "bundled",
        "variant": run["variant"],
        "classes": run["classes"],
        "ignore": run["ignore"],
        "input": {"channels": "RGB", "mean": list(MEAN), "std": list(STD)},
        "crop": run["recipe"]["crop"],
        **about,
        "weights": {
            "file": str(weights.relative_to(zoo)),
            "sha256": file_sha256(weights),
            "bytes": weights.stat().st_size,
            "dtype": "float16",
            "licence": licence,
        },
        "measured": [],
    }


def copy_log(run, entry, zoo, name):
    """Puts the run's history beside those of earlier stages, as the last stage of training."""
    from keras_deeplab.zoo.run_folders import read_run

    log = pathlib.Path("logs") / f"{name}.csv"
    (zoo / "logs").mkdir(exist_ok=True)
    shutil.copyfile(run / "history.csv", zoo / log)
    stage = {"title": "last stage", "command": read_run(run)["command"], "log": str(log)}
    entry["training"]["stages"] = [*entry["training"].get("stages", []), stage]


if __name__ == "__main__":
    command()
