"""`keras-deeplab measure`: re-measures a zoo entry and regenerates its card and reports."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile
import typing
from collections.abc import Iterator

import click

from keras_deeplab.commands.data_options import FOLDER
from keras_deeplab.commands.evaluation_options import (
    IMAGE_OPTIONS,
    PROTOCOL,
    Evaluation,
    evaluated_images,
    open_evaluation,
    open_images,
    protocol_for,
    runtime_options,
)
from keras_deeplab.commands.group import Command
from keras_deeplab.commands.int8_options import (
    calibrate_option,
    quantize_calibrated,
    refuse_options,
)
from keras_deeplab.commands.repetition import given_arguments
from keras_deeplab.prediction.protocols import PROTOCOLS
from keras_deeplab.runtimes.registry import AUTO, INT8

if typing.TYPE_CHECKING:
    from keras_deeplab.zoo.manifest import Zoo

INT8_PROTOCOL = "whole_scene"  # the one by windows, as int8 files take images of one size
HOW_TO_CALIBRATE = ("calibrate", "bands", "value_range")


@click.command("measure", cls=Command)
@click.argument("name")
@evaluated_images()
@runtime_options(precision="float32")
@calibrate_option()
@click.option(
    "--protocol",
    "protocols",
    type=PROTOCOL,
    multiple=True,
    help="Measure only under this protocol; repeatable. Default: all; whole_scene in int8.",
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
    interrupted run with --protocol. Figures of other precisions are kept.

    --precision int8 quantises the entry first, for images of 512 x 512 pixels, as export does.
    """
    check_int8(protocols, options)
    from keras_deeplab.commands.startup import import_tensorflow

    import_tensorflow()
    from keras_deeplab.publishing.entry import check_writable
    from keras_deeplab.publishing.measuring import measure
    from keras_deeplab.zoo.manifest import Zoo

    zoo = Zoo(folder)
    check_writable(zoo)
    entry = zoo.entry(name)
    with opened(context, zoo, name, options) as (evaluation, origin):
        predictor, classes, source = evaluation
        default = [INT8_PROTOCOL] if options["precision"] == INT8 else PROTOCOL.choices
        chosen = [protocol_for(each, source) for each in protocols or default]
        arguments = given_arguments(context, IMAGE_OPTIONS)
        for record in measure(
            zoo, name, entry, predictor, classes, source, chosen, arguments, **origin
        ):
            echo_record(name, record)


def check_int8(protocols: tuple[str, ...], options: dict) -> None:
    """Raises a `click.UsageError` for options that do not fit the precision."""
    if options["precision"] != INT8:
        refuse_options(("calibrate",), "only for --precision int8")
        return
    if options["runtime"] not in (AUTO, "openvino"):
        raise click.UsageError(
            f"--precision int8 is for --runtime openvino, not {options['runtime']}."
        )
    for protocol in protocols:
        if protocol != INT8_PROTOCOL:
            raise click.UsageError(
                f"--protocol {protocol} predicts whole images, but int8 files take images of one "
                f"size: only --protocol {INT8_PROTOCOL}."
            )


@contextlib.contextmanager
def opened(
    context: click.Context, zoo: Zoo, name: str, options: dict
) -> Iterator[tuple[Evaluation, dict[str, typing.Any]]]:
    """The entry and its images, with the arguments of `measure` that tell of its int8 file.

    The int8 file exists within the context only. Its command writes it again.
    """
    if options["precision"] != INT8:
        yield open_evaluation(name, options, zoo=zoo), {}
        return
    from keras_deeplab.publishing.int8_file import entry_source, quantization_record
    from keras_deeplab.runtimes.compiling import compile_for_inference

    (tile, _) = PROTOCOLS[INT8_PROTOCOL].window
    file = f"{name}_int8.xml"
    calibration = given_arguments(context, HOW_TO_CALIBRATE if options["calibrate"] else ())
    with tempfile.TemporaryDirectory() as scratch:
        source = entry_source(zoo, name)
        classes, images = open_images(name, source.network.metadata, options)
        exported = quantize_calibrated(source, pathlib.Path(scratch) / file, tile, options)
        predictor = compile_for_inference(exported.path, "openvino", INT8)
        record = quantization_record(exported, name, file, calibration)
        yield Evaluation(predictor, classes, images), {"model": file, "quantization": record}


def echo_record(name: str, record: dict) -> None:
    """Prints the mIoU of a measured record, with its interval."""
    interval = " .. ".join(f"{end:.4f}" for end in record["intervals"]["mIoU"])
    click.echo(
        f"{name}, {record['protocol']['name']}, {record['precision']}: mIoU {record['mIoU']:.4f} "
        f"({interval})"
    )


if __name__ == "__main__":
    command()
