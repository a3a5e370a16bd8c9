"""`keras-deeplab predict`: the classes of one image, as a picture, a mask and a table."""

import logging
import pathlib

import click

from keras_deeplab.commands.data_options import FILE, OUTPUT_FILE, image_format, image_options
from keras_deeplab.commands.evaluation_options import (
    AUTO,
    PROTOCOL,
    chosen_views,
    model_metadata,
    runtime_options,
    view_options,
)
from keras_deeplab.commands.group import Command

logger = logging.getLogger("keras_deeplab")


@click.command("predict", cls=Command)
@click.argument("image", type=FILE)
@click.option("--model", required=True, help="Zoo name, folder of a training run, or model file.")
@click.option(
    "--output", type=OUTPUT_FILE, help="Picture: the image, its classes over it, a legend."
)
@click.option(
    "--mask",
    type=OUTPUT_FILE,
    help="Class indices, 255 without data: palette .png, or .tif with the image's georeference.",
)
@image_options()
@click.option(
    "--protocol",
    type=PROTOCOL,
    help="Named protocol; sets --flip, --scales, --window and --stride, and float32.",
)
@view_options()
@runtime_options(precision="auto")
def command(
    image: pathlib.Path,
    model: str,
    output: pathlib.Path | None,
    mask: pathlib.Path | None,
    protocol: str | None,
    **options,
) -> None:
    """Predict the class of every pixel of IMAGE and print the area of each class.

    Bands and value range are those that the model was trained on, unless you give others. Pixels
    without data (nodata, mask, alpha) get no class and do not count.
    """
    views = chosen_views(options, protocol)
    from keras_deeplab.commands.startup import silence_tensorflow

    silence_tensorflow()  # it is not even imported where a converted model is in the cache
    import numpy as np

    from keras_deeplab._internal.files import atomic_write
    from keras_deeplab.data.class_table import IGNORE_INDEX
    from keras_deeplab.data.files.images import read_image
    from keras_deeplab.prediction.class_map import check_target, write_class_map
    from keras_deeplab.prediction.image import predict
    from keras_deeplab.prediction.overlay import check_picture, overlay
    from keras_deeplab.runtimes.compiling import compile_for_inference

    if mask:
        check_target(mask)
    if output:
        check_picture(output)
    trained = model_metadata(model)
    form = image_format(options).completed(trained.form)
    pixels, valid = read_image(image, form)
    warn_of_other_channels(image, form, trained)
    if protocol and options["precision"] == AUTO:
        options["precision"] = "float32"  # as published
    predictor = compile_for_inference(model, options["runtime"], options["precision"])
    labels = predict(predictor, pixels, **views).argmax(-1).astype(np.uint8)
    if valid is not None:
        labels[~valid] = IGNORE_INDEX
    if output:
        with atomic_write(output) as path:
            overlay(pixels, labels, trained.classes).save(path)
    if mask:
        write_class_map(mask, labels, trained.classes, like=image)
    print_areas(labels, trained.classes)


def warn_of_other_channels(image: pathlib.Path, form, trained) -> None:
    """Warns where the bands of a file mean something else than the model's channels."""
    from keras_deeplab.data.files.ground import describe_ground

    channels = describe_ground([image], form).channels
    if None not in (channels, trained.channels) and channels != trained.channels:
        logger.warning(
            "%s is read as %s, but the model was trained on %s. Choose other bands with --bands if "
            "the file has them.",
            image,
            ", ".join(channels),
            ", ".join(trained.channels),
        )


def print_areas(labels, classes) -> None:
    """Prints the pixels and the share of each class, and the pixels without data."""
    from rich.console import Console
    from rich.table import Table

    from keras_deeplab.prediction.overlay import class_areas

    areas = Table("class")
    areas.add_column("pixels", justify="right")
    areas.add_column("share", justify="right")
    counts = class_areas(labels, len(classes)).tolist()
    for name, area in zip(classes.names, counts, strict=True):
        areas.add_row(name, f"{area:,}", f"{area / max(sum(counts), 1):.1%}")
    if sum(counts) < labels.size:
        areas.add_section()
        areas.add_row("no data", f"{labels.size - sum(counts):,}", "")
    Console().print(areas)


if __name__ == "__main__":
    command()
