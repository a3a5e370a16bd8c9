"""Options of `export --precision int8`: images to calibrate with, labelled ones to score."""

from __future__ import annotations

import pathlib
import typing

import click
from click.core import ParameterSource

from keras_deeplab.commands.data_options import FOLDER, Decorator, Options, decorator
from keras_deeplab.commands.evaluation_options import (
    IMAGE_OPTIONS,
    evaluated_images,
    open_images,
)
from keras_deeplab.commands.polygon_options import FILES, HOW
from keras_deeplab.runtimes.registry import INT8

if typing.TYPE_CHECKING:
    from keras_deeplab.runtimes.export_record import ExportedFile
    from keras_deeplab.runtimes.quantizing import Score
    from keras_deeplab.runtimes.source import ModelSource

ONLY_INT8 = ("calibrate", "accept_loss", *IMAGE_OPTIONS)
LABELLED = ("dataset", "images", "masks", "labels", "pairs", "split")  # each names labelled images
ONLY_LABELLED = (
    *("accept_loss", "data_dir", "mask_suffix", "mask_values", "classes"),
    *(*FILES[1:], *HOW),
)
HOW_TO_READ = ("bands", "value_range")


def int8_options() -> Decorator:
    """Decorator: the precision of an exported file, for `check_int8_options` and `write_int8`."""
    return decorator(
        click.option(
            "--precision",
            type=click.Choice(["float32", INT8]),
            default="float32",
            show_default=True,
            help="int8 quantises an OpenVINO file (extra [int8]): faster, slightly other scores.",
        ),
        calibrate_option(),
        evaluated_images(),
        click.option(
            "--accept-loss",
            is_flag=True,
            help="int8: write the file even if mIoU on the labelled images drops by more than 0.5 "
            "points.",
        ),
    )


def calibrate_option() -> Decorator:
    """Decorator: the images to calibrate with, for `quantize_calibrated`."""
    return click.option(
        "--calibrate",
        type=FOLDER,
        multiple=True,
        help="int8: folder of images without masks, to find the ranges of activations; "
        "repeatable. Default: the check image of the model.",
    )


def check_int8_options(format: str | None, options: Options) -> None:
    """Raises a `click.UsageError` for options that do not fit the precision.

    Args:
        format: Name of the exported format; `None` where the suffix of the file says it.
        options: Options of the command by parameter name.
    """
    if options["precision"] == INT8:
        if format not in (None, "openvino"):
            raise click.UsageError(f"--precision int8 is for --format openvino, not {format}.")
        if not any(options[name] for name in LABELLED):
            refuse_options(ONLY_LABELLED, "only with labelled images, such as --images and --masks")
            if not options["calibrate"]:
                refuse_options(HOW_TO_READ, "only with --calibrate or labelled images")
        return
    refuse_options(ONLY_INT8, "only for --precision int8")


def refuse_options(names: tuple[str, ...], reason: str) -> None:
    """Raises a `click.UsageError` when one of some options is given."""
    source = click.get_current_context().get_parameter_source
    given = [name for name in names if source(name) is not ParameterSource.DEFAULT]
    if given:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise click.UsageError(f"{flags}: {reason}.")


def write_int8(model: str, output: pathlib.Path, tile: int, options: Options) -> None:
    """Writes the int8 file of a model, and prints what it is worth.

    Args:
        model: Zoo name, folder of a run, or `.keras` file.
        output: The `.xml` file.
        tile: Side of the images that it will take.
        options: Options of the command by parameter name.

    Raises:
        ValueError: When images do not fit the model, or when mIoU drops by more than 0.5 points.
    """
    from keras_deeplab.commands.startup import import_tensorflow

    import_tensorflow()
    from keras_deeplab.runtimes.quantizing import check_quantizing
    from keras_deeplab.runtimes.source import find_source

    source = find_source(model)
    check_quantizing(source, tile, output)
    score = _score(model, source, tile, options)
    exported = quantize_calibrated(
        source, output, tile, options, score=score, accept_loss=options["accept_loss"]
    )
    click.echo(exported)
    result = exported.quantization
    if result is None or result.float32 is None or result.int8 is None:
        click.echo("This share is not an accuracy: name labelled images to measure mIoU.")
    else:
        click.echo(
            f"mIoU {result.float32:.4f} in float32, {result.int8:.4f} in int8: "
            f"{-100 * result.loss:+.2f} points."
        )


def quantize_calibrated(
    source: ModelSource, output: pathlib.Path, tile: int, options: Options, **judged: typing.Any
) -> ExportedFile:
    """The int8 file of a model, calibrated with the images of the options of a command.

    Args:
        source: The model.
        output: The `.xml` file.
        tile: Side of the images that it will take.
        options: Options of the command by parameter name.
        **judged: `score` and `accept_loss` of `quantize`.
    """
    from keras_deeplab.commands.data_options import image_format
    from keras_deeplab.runtimes.calibration import find_calibration
    from keras_deeplab.runtimes.quantizing import quantize

    folders = list(options["calibrate"]) or None
    crops, images = find_calibration(source, folders, tile, image_format(options))
    return quantize(source, crops, tile, output, images=images, **judged)


def _score(model: str, source: ModelSource, tile: int, options: Options) -> Score | None:
    """mIoU on the labelled images, by windows of the tile; `None` where there are none."""
    from keras_deeplab._internal.errors import InputError
    from keras_deeplab._internal.progress import WithProgress
    from keras_deeplab.evaluation.dataset import evaluate
    from keras_deeplab.prediction.protocols import Protocol

    if not any(options[name] for name in LABELLED):
        return None
    if source.network.metadata is None:
        raise InputError(f"{model} has no metadata: its classes are unknown.")
    classes, labelled = open_images(model, source.network.metadata, options)
    images = WithProgress(labelled.open(classes))
    protocol = Protocol(window=tile)
    return lambda predictor: evaluate(predictor, images, protocol=protocol).result()["mIoU"]
