"""`keras-deeplab outlines`: predicted polygons against reference polygons."""

import pathlib

import click

from keras_deeplab.commands.data_options import OUTPUT_FILE
from keras_deeplab.commands.group import Command


@click.command("outlines", cls=Command)
@click.argument("predicted")
@click.argument("reference")
@click.option("--scene", required=True, help="The raster that was predicted; gives the extent.")
@click.option(
    "--iou",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.5,
    show_default=True,
    help="Lowest intersection over union of a match.",
)
@click.option("--layer", metavar="NAME", help="Layer of REFERENCE, if of several.")
@click.option("--json", "json_file", type=OUTPUT_FILE, help="Write the numbers to this JSON file.")
def command(json_file: pathlib.Path | None, **options) -> None:
    """Count the outlines of REFERENCE, a vector file, that PREDICTED has.

    PREDICTED is a file of `vectorize` or of `predict --vector`. An outline is found if its
    intersection over union with a predicted one reaches --iou; each has one partner at most.
    Polygons are clipped to the scene; those with less than half their area in it do not count.
    Needs pip install "keras-deeplab[vector]".
    """
    from keras_deeplab._internal.files import write_json
    from keras_deeplab.evaluation.outlines import compare_outlines

    scores = compare_outlines(**options)
    click.echo(
        f"{scores.matched:,} of {scores.reference:,} outlines found (recall {scores.recall:.4f}), "
        f"{scores.predicted:,} predicted (precision {scores.precision:.4f}); "
        f"F-score {scores.f_score:.4f}, mean IoU of the matches {scores.mean_iou:.4f}."
    )
    if scores.merged:
        click.echo(f"{scores.merged:,} outlines are merged with others in one polygon.")
    if json_file:
        write_json(json_file, scores.to_json())


if __name__ == "__main__":
    command()
