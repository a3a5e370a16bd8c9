"""`keras-deeplab publish`: adds a training run to a zoo: weights, metrics, log and card."""

import json
import pathlib

import click

from keras_deeplab.commands.data_options import FILE, FOLDER
from keras_deeplab.commands.evaluation_options import (
    IMAGE_OPTIONS,
    PROTOCOL,
    evaluated_images,
    open_images,
    protocol_for,
)
from keras_deeplab.commands.group import Command
from keras_deeplab.commands.repetition import given_arguments


@click.command("publish", cls=Command)
@click.argument("run", type=FOLDER)
@click.option("--name", required=True, help="Zoo name, for example r18_dubai.")
@click.option("--about", type=FILE, required=True, help="JSON: summary, dataset, limits, ...")
@evaluated_images()
@click.option(
    "--zoo",
    "folder",
    type=FOLDER,
    default="zoo",
    show_default=True,
    help="Folder of the zoo to write to; never that of an installed package.",
)
@click.pass_context
def command(
    context: click.Context,
    run: pathlib.Path,
    name: str,
    about: pathlib.Path,
    folder: pathlib.Path,
    **options,
) -> None:
    """Add the best weights of RUN to the zoo as NAME, measured on the validation images."""
    from keras_deeplab.commands.startup import import_tensorflow

    import_tensorflow()
    from keras_deeplab._internal.progress import WithProgress
    from keras_deeplab.checkpoints.keras_files import save_keras_weights
    from keras_deeplab.checkpoints.loading import load_weights
    from keras_deeplab.evaluation.dataset import evaluate
    from keras_deeplab.publishing.entry import add_training_log, check_writable, make_entry
    from keras_deeplab.publishing.measuring import measure
    from keras_deeplab.runtimes.predictor import as_predictor
    from keras_deeplab.zoo.loader import load
    from keras_deeplab.zoo.manifest import Zoo
    from keras_deeplab.zoo.run_folders import read_run

    zoo = Zoo(folder)
    check_writable(zoo)
    record = read_run(run)
    model = load(run)
    classes, source = open_images(str(run), model.metadata, options)
    images = WithProgress(source.open(classes))
    trained = evaluate(model, images, num_classes=len(classes)).result()["mIoU"]
    weights = zoo.folder / "weights" / f"{name}.weights.h5"
    save_keras_weights(model, weights, dtype="float16")
    load_weights(model, weights)
    known = json.loads(about.read_text(encoding="utf-8"))
    entry = make_entry(known, model.metadata, model.count_params(), weights, zoo)
    entry["storage"] = {"mIoU_trained": trained}
    add_training_log(run, record, entry, zoo, name)
    protocols = [protocol_for(each, source) for each in PROTOCOL.choices]
    arguments = given_arguments(context, IMAGE_OPTIONS)
    predictor = as_predictor(model)
    for measured in measure(zoo, name, entry, predictor, classes, source, protocols, arguments):
        click.echo(f"{name}, {measured['protocol']['name']}: mIoU {measured['mIoU']:.4f}")


if __name__ == "__main__":
    command()
