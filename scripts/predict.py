"""`keras-deeplab predict`: the classes of one image, as a picture, a mask and a table."""

import pathlib

import click

from keras_deeplab.commands.data_options import FILE
from keras_deeplab.commands.evaluation_options import view_options
from keras_deeplab.commands.group import Command

OUTPUT = click.Path(dir_okay=False, path_type=pathlib.Path)


@click.command("predict", cls=Command)
@click.argument("image", type=FILE)
@click.option("--model", required=True, help="Zoo name, or the folder of a training run.")
@click.option("--output", type=OUTPUT, help="Picture: the image, its classes over it, a legend.")
@click.option("--mask", type=OUTPUT, help="Palette PNG whose values are class indices.")
@view_options()
def command(image, model, output, mask, flip, scales, window, stride):
    """Predict the class of every pixel of IMAGE and print the area of each class."""
    from keras_deeplab.commands.startup import import_tensorflow

    import_tensorflow()
    import numpy as np

    from keras_deeplab._internal.files import atomic_write
    from keras_deeplab.data.files.images import read_image
    from keras_deeplab.prediction.image import predict
    from keras_deeplab.prediction.overlay import as_picture, draw_overlay, palette_png
    from keras_deeplab.prediction.protocols import parse_scales
    from keras_deeplab.zoo.loader import image_format, open_model

    pixels = read_image(image, image_format(model))
    network, table = open_model(model)
    probabilities = predict(
        network, pixels, scales=parse_scales(scales), flip=flip, window=window, stride=stride
    )
    labels = probabilities.argmax(-1).astype(np.uint8)
    if output:
        with atomic_write(output) as path:
            draw_overlay(as_picture(pixels), labels, table).save(path)
    if mask:
        with atomic_write(mask) as path:
            palette_png(labels, table).save(path)
    print_areas(labels, table)


def print_areas(labels, table):
    """Prints the pixels and the share of each class."""
    from rich.console import Console
    from rich.table import Table

    from keras_deeplab.prediction.overlay import class_areas

    areas = Table("class")
    areas.add_column("pixels", justify="right")
    areas.add_column("share", justify="right")
    for name, area in zip(table.names, class_areas(labels, len(table)).tolist(), strict=True):
        areas.add_row(name, f"{area:,}", f"{area / labels.size:.1%}")
    Console().print(areas)


if __name__ == "__main__":
    command()
