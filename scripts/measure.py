"""`keras-deeplab measure`: re-measures a zoo entry and regenerates its card and reports."""

import pathlib

import click

from keras_deeplab.commands.data_options import FOLDER
from keras_deeplab.commands.evaluation_options import (
    IMAGE_OPTIONS,
    PROTOCOL,
    evaluated_images,
    open_evaluation,
    protocol_for,
    runtime_options,
)
from keras_deeplab.commands.group import Command
from keras_deeplab.commands.repetition import given_arguments


@click.command("measure", cls=Command)
@click.argument("name")
@evaluated_images()
@runtime_options(precision="float32")
@click.option(
    "--protocol",
    "protocols",
    type=PROTOCOL,
    multiple=True,
    help="Measure only under this protocol; repeatable. Default: all.",
)
@click.option(
    "--zoo",
    "folder",
    type=FOLDER,
    default="zoo",
    show_default=True,
    help="Folder of the zoo to read and write; never that of an installed package.",
)
@click.pass_context
def command(
    context: click.Context, name: str, protocols: tuple[str, ...], folder: pathlib.Path, **options
) -> None:
    """Measure the zoo entry NAME under every protocol, and write manifest, card and reports.

    Entry and weights come from --zoo. Each protocol is written as soon as it is done: continue an
    interrupted run with --protocol.
    """
    from keras_deeplab.commands.startup import import_tensorflow

    import_tensorflow()
    from keras_deeplab.publishing.entry import check_writable
    from keras_deeplab.publishing.measuring import measure
    from keras_deeplab.zoo.manifest import Zoo

    zoo = Zoo(folder)
    check_writable(zoo)
    entry = zoo.entry(name)
    predictor, classes, source = open_evaluation(name, options, zoo=zoo)
    chosen = [protocol_for(each, source) for each in protocols or PROTOCOL.choices]
    arguments = given_arguments(context, IMAGE_OPTIONS)
    for record in measure(zoo, name, entry, predictor, classes, source, chosen, arguments):
        echo_record(name, record)


def echo_record(name: str, record: dict) -> None:
    """Prints the mIoU of a measured record, with its interval."""
    interval = " .. ".join(f"{end:.4f}" for end in record["intervals"]["mIoU"])
    click.echo(f"{name}, {record['protocol']['name']}: mIoU {record['mIoU']:.4f} ({interval})")


if __name__ == "__main__":
    command()
