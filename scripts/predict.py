"""`keras-deeplab predict`: the classes of one image, as a picture, a mask and a table."""

import pathlib

import click

from keras_deeplab.commands.data_options import FILE, OUTPUT_FILE
from keras_deeplab.commands.evaluation_options import view_options
from keras_deeplab.commands.group import Command


@click.command("predict", cls=Command)
@click.argument("image", type=FILE)
@click.option("--model", required=True, help="Zoo name, or the folder of a training run.")
@click.option(
    "--output", type=OUTPUT_FILE, help="Picture: the image, its classes over it, a legend."
)
@click.option("--mask", type=OUTPUT_FILE, help="Palette PNG whose values are class indices.")
@view_options()
def command(
    image: pathlib.Path,
    model: str,
    output: pathlib.Path | None,
    mask: pathlib.Path | None,
    flip: bool,
    scales: str,
    window: int | None,
    stride: int | None,
) -> None:
    """Predict the class of every pixel of IMAGE and print the area of each class."""
    from keras_deeplab.commands.startup import import_tensorflow

    import_tensorflow()
    import numpy as np

    from keras_deeplab._internal.files import atomic_write
    from keras_deeplab.data.files.images import read_image
    from keras_deeplab.prediction.image import predict
    from keras_deeplab.prediction.overlay import as_picture, draw_overlay, palette_png
    from keras_deeplab.prediction.protocols import parse_scales
    from keras_deeplab.zoo.loader import find_model, load

    trained = find_model(model)
    pixels = read_image(image, trained.form)
    probabilities = predict(
        load(model),
        pixels,
        scales=parse_scales(scales),
        flip=flip,
        window=window,
        stride=stride,
    )
    labels = probabilities.argmax(-1).astype(np.uint8)
    if output:
        with atomic_write(output) as path:
            draw_overlay(as_picture(pixels), labels, trained.classes).save(path)
    if mask:
        with atomic_write(mask) as path:
            palette_png(labels, trained.classes).save(path)
    print_areas(labels, trained.classes)


def print_areas(labels, classes) -> None:
    """Prints the pixels and the share of each class."""
    from rich.console import Console
    from rich.table import Table

    from keras_deeplab.prediction.overlay import class_areas

    areas = Table("class")
    areas.add_column("pixels", justify="right")
    areas.add_column("share", justify="right")
    for name, area in zip(classes.names, class_areas(labels, len(classes)).tolist(), strict=True):
        areas.add_row(name, f"{area:,}", f"{area / labels.size:.1%}")
    Console().print(areas)


if __name__ == "__main__":
    command()
