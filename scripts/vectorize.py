"""`keras-deeplab vectorize`: the polygons of a finished map."""

import pathlib

import click

from keras_deeplab.commands.data_options import OUTPUT_FILE
from keras_deeplab.commands.group import Command


@click.command("vectorize", cls=Command)
@click.argument("class_map", metavar="MAP")
@click.option("--output", type=OUTPUT_FILE, required=True, help=".gpkg, .geojson or .fgb.")
@click.option(
    "--classes",
    metavar="NAME,...",
    help="Classes to write.  [default: all but background]",
)
@click.option("--confidence", metavar="FILE", help="Map of the probability of the class (.tif).")
@click.option(
    "--min-area",
    type=click.FloatRange(0),
    default=0.0,
    metavar="M2",
    help="Leave out smaller polygons, in square metres.",
)
@click.option(
    "--simplify",
    type=click.FloatRange(0),
    default=0.0,
    metavar="METRES",
    help="Simplify borders by this tolerance; neighbours keep their common border.",
)
def command(
    class_map: str, output: pathlib.Path, classes: str | None, **options: str | float | None
) -> None:
    """Write the polygons of MAP, a map of `predict`, and print their number for each class.

    A polygon is an area of pixels of one class that share edges. Its fields are class, class_index,
    pixels, area_m2 and, with --confidence, confidence. Without --simplify polygons follow the
    pixels. Needs pip install "keras-deeplab[vector]".
    """
    from keras_deeplab.commands.areas import print_polygons
    from keras_deeplab.prediction.vector.vectorizing import vectorize

    chosen = None if classes is None else [name.strip() for name in classes.split(",")]
    print_polygons(vectorize(class_map, output, classes=chosen, **options))


if __name__ == "__main__":
    command()
