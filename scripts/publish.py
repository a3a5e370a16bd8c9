"""`keras-deeplab publish`: adds a training run to the zoo: weights, metrics, log and card."""

import json
import math
import pathlib
import shlex
import shutil

import click

from keras_deeplab.cli import Command

FOLDER = click.Path(exists=True, file_okay=False, path_type=pathlib.Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=pathlib.Path)
PROTOCOLS = (("single_scale", "single scale", False), ("flip", "with flip", True))


@click.command("publish", cls=Command)
@click.argument("run", type=FOLDER)
@click.option("--name", required=True, help="Zoo name, for example r18_dubai.")
@click.option("--about", type=FILE, required=True, help="JSON: summary, dataset, limits, ...")
@click.option("--images", type=FOLDER, multiple=True, required=True, help="Validation images.")
@click.option("--masks", type=FOLDER, multiple=True, required=True, help="Validation masks.")
@click.option("--zoo", type=FOLDER, help="The zoo's folder; the installed one by default.")
def command(run, name, about, images, masks, zoo):
    """Add the best weights of RUN to the zoo as NAME, measured on the validation images."""
    from keras_deeplab.quiet import import_tensorflow

    import_tensorflow()
    from keras_deeplab.cards import card_text
    from keras_deeplab.checkpoints.keras_files import save_keras_weights
    from keras_deeplab.checkpoints.loading import load_weights
    from keras_deeplab.data.folder import from_folder
    from keras_deeplab.data.images import ImageFormat
    from keras_deeplab.evaluation.dataset import evaluate_views
    from keras_deeplab.evaluation.plots import plot_confusion
    from keras_deeplab.files import written_whole
    from keras_deeplab.resources import zoo_dir
    from keras_deeplab.run_record import read_run
    from keras_deeplab.zoo import image_format, open_model

    zoo = zoo or zoo_dir()
    if image_format(run) != ImageFormat():
        raise ValueError(f"{run} takes selected bands or a value range: the zoo cannot say so yet.")
    model, table = open_model(run)
    dataset = from_folder(images, masks, table)

    def measure(flip):
        return evaluate_views(
            model, dataset, len(table), scales=(1.0,), flip=flip, ignore_index=255
        )

    trained = measure(flip=False)[0].result()["mIoU"]
    weights = zoo / "weights" / f"{name}.weights.h5"
    save_keras_weights(model, weights, dtype="float16")
    load_weights(model, weights)
    paths = [arg for pair in zip(images, masks, strict=True) for arg in _pair_options(*pair)]
    measured = [
        measured_record(metrics, protocol, len(dataset), ["evaluate", name, *paths])
        for metrics, protocol in zip(measure(flip=True), PROTOCOLS, strict=True)
    ]
    pictures = zoo / "cards" / name
    with written_whole(pictures / "confusion.png") as path:
        plot_confusion(measured[0]["confusion"], table.names, path)
    shutil.copyfile(run / "curve.png", pictures / "curve.png")
    entry = make_entry(
        json.loads(about.read_text(encoding="utf-8")), read_run(run), weights, zoo, measured
    )
    entry["storage"] = {"mIoU_trained": trained, "mIoU_stored": measured[0]["mIoU"]}
    copy_log(run, entry, zoo, name)
    write_entry(zoo / "manifest.json", name, entry)
    with written_whole(zoo / "cards" / f"{name}.md") as path:
        path.write_text(card_text(name, entry), encoding="utf-8")
    click.echo(f"{name}: mIoU {measured[0]['mIoU']:.4f}, with flip {measured[1]['mIoU']:.4f}")


def _pair_options(images, masks):
    return ["--images", str(images), "--masks", str(masks)]


def measured_record(metrics, protocol, images, arguments):
    """What the manifest keeps of an evaluation; absent classes are null."""
    name, title, flip = protocol
    result = metrics.result()
    return {
        "protocol": name,
        "title": title,
        "command": shlex.join(["keras-deeplab", *arguments, *(["--flip"] if flip else [])]),
        "images": images,
        "pixels": int(metrics.confusion.sum()),
        **{key: result[key] for key in ("mIoU", "aAcc", "mAcc", "mFscore")},
        "IoU": [None if math.isnan(iou) else iou for iou in result["per_class"]["IoU"]],
        "confusion": metrics.confusion.tolist(),
    }


def make_entry(about, run, weights, zoo, measured):
    """The manifest entry of a run."""
    from keras_deeplab.manifest import file_sha256
    from keras_deeplab.models.layers import MEAN, STD

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
        "measured": measured,
    }


def copy_log(run, entry, zoo, name):
    """Puts the run's history beside those of earlier stages, as the last stage of training."""
    from keras_deeplab.run_record import read_run

    log = pathlib.Path("logs") / f"{name}.csv"
    (zoo / "logs").mkdir(exist_ok=True)
    shutil.copyfile(run / "history.csv", zoo / log)
    stage = {"title": "last stage", "command": read_run(run)["command"], "log": str(log)}
    entry["training"]["stages"] = [*entry["training"].get("stages", []), stage]


def write_entry(manifest, name, entry):
    """Adds or replaces one entry of the manifest."""
    from keras_deeplab.files import written_whole

    content = json.loads(manifest.read_text(encoding="utf-8"))
    content["models"][name] = entry
    with written_whole(manifest) as path:
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    command()
