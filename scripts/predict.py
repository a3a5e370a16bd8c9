"""`keras-deeplab predict`: the classes of an image as a picture, or of a scene as a map."""

from __future__ import annotations

import csv
import logging
import pathlib

import click
from click.core import ParameterSource

from keras_deeplab._internal.errors import InputError
from keras_deeplab.commands.data_options import OUTPUT_FILE, OutputPath, image_format, image_options
from keras_deeplab.commands.evaluation_options import (
    PROTOCOL,
    chosen_views,
    compile_chosen,
    model_metadata,
    runtime_options,
    view_options,
)
from keras_deeplab.commands.group import Command
from keras_deeplab.commands.scene_options import is_map, scene_options, scene_targets

logger = logging.getLogger("keras_deeplab")


@click.command("predict", cls=Command)
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@click.option("--model", required=True, help="Zoo name, folder of a training run, or model file.")
@click.option(
    "--output",
    type=OutputPath(path_type=pathlib.Path),
    help="A picture (.png, .jpg), a map (.tif), or a folder of maps.",
)
@click.option(
    "--mask",
    type=OUTPUT_FILE,
    help="Class indices, 255 without data: palette .png, or .tif with the image's georeference.",
)
@click.option("--json", "json_file", type=OUTPUT_FILE, help="Write the areas to this JSON file.")
@click.option("--csv", "csv_file", type=OUTPUT_FILE, help="Write the areas to this CSV file.")
@image_options()
@click.option(
    "--protocol",
    type=PROTOCOL,
    help="Named protocol; sets --flip, --scales, --window and --stride, and float32.",
)
@view_options()
@runtime_options(precision="auto")
@scene_options()
def command(
    images: tuple[str, ...],
    model: str,
    output: pathlib.Path | None,
    json_file: pathlib.Path | None,
    csv_file: pathlib.Path | None,
    **options,
) -> None:
    """Predict the class of every pixel of IMAGE and print the area of each class.

    \b
    --output picture.png  the image, its classes over it, a legend
    --output map.tif      a georeferenced map of a scene of any size; several
                          IMAGEs of one grid become one map
    --output folder       a map of each IMAGE
    --mask mask.png       the class indices of a picture

    Bands and value range are those that the model was trained on, unless you give others. Pixels
    without data (nodata, mask, alpha) get no class and do not count.
    """
    from keras_deeplab.commands.startup import silence_tensorflow

    silence_tensorflow()  # it is not even imported where a converted model is in the cache
    from keras_deeplab._internal.files import atomic_write, write_json
    from keras_deeplab.commands.areas import print_areas, print_polygons

    told = click.get_current_context().get_parameter_source("precision")
    if options["protocol"] and told is ParameterSource.DEFAULT:
        options["precision"] = "float32"  # as published
    if is_map(output):
        summaries = predict_maps(images, model, output, options)
    else:
        summaries = {images[0]: predict_picture(images, model, output, options)}
    for image, summary in summaries.items():
        print_areas(summary, title=image if len(summaries) > 1 else None)
        if "polygons" in summary:
            print_polygons(summary["polygons"])
        if summary.get("bad_pixels"):
            click.echo(f"{summary['bad_pixels']:,} pixels of {image} could not be read.", err=True)
    if json_file:
        write_json(json_file, summaries if len(summaries) > 1 else next(iter(summaries.values())))
    if csv_file:
        with atomic_write(csv_file) as path, open(path, "w", newline="", encoding="utf-8") as file:
            rows = [
                {"image": image, **row}
                for image, summary in summaries.items()
                for row in summary["classes"]
            ]
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


def predict_maps(
    images: tuple[str, ...], model: str, output: pathlib.Path, options: dict
) -> dict[str, dict]:
    """Writes georeferenced maps; returns the summary of each by its image."""
    from keras_deeplab.prediction.protocols import choose_protocol
    from keras_deeplab.prediction.raster.scenes import open_checked, predict_raster
    from keras_deeplab.prediction.vector.target import check_polygons

    if options["mask"]:
        raise click.UsageError("--mask is for pictures; a map holds the class indices itself.")
    if options["stride"]:
        raise click.UsageError("--stride is for pictures; windows of a map have an --overlap.")
    metadata = model_metadata(model)
    targets = scene_targets(images, output, options)
    form = image_format(options)
    views = choose_protocol(**chosen_views({**options, "window": None}, options["protocol"]))
    maps = (options["confidence"], options["probabilities"])
    for sources, target in targets:  # an error in the last scene is known before the first one
        with open_checked(
            sources, (target, *maps), metadata, form, nodata=options["nodata"]
        ) as scene:
            if options["vector"]:
                check_polygons(options["vector"], scene.grid)
        warn_of_other_channels(sources[0], form.completed(metadata.form), metadata)
    predictor = compile_chosen(model, options)
    return {
        " ".join(sources): predict_raster(
            predictor,
            sources,
            target,
            bands=form.bands,
            value_range=form.value_range,
            nodata=options["nodata"],
            resolution=options["resolution"],
            window=options["window"],
            overlap=options["overlap"],
            protocol=views,
            confidence=options["confidence"],
            probabilities=options["probabilities"],
            probabilities_dtype=options["probabilities_dtype"],
            vector=options["vector"],
            on_bad_block=options["on_bad_block"],
        )
        for sources, target in targets
    }


def predict_picture(
    images: tuple[str, ...], model: str, output: pathlib.Path | None, options: dict
) -> dict:
    """Writes picture and mask of an image that fits into memory; returns its summary."""

    from keras_deeplab._internal.files import atomic_write
    from keras_deeplab.commands.areas import picture_summary
    from keras_deeplab.data.class_table import IGNORE_INDEX
    from keras_deeplab.data.files.images import read_image
    from keras_deeplab.prediction.class_map import check_target, write_class_map
    from keras_deeplab.prediction.overlay import check_picture, overlay
    from keras_deeplab.prediction.protocols import choose_protocol
    from keras_deeplab.prediction.views import image_labels

    if len(images) > 1:
        raise click.UsageError("Several images need --output map.tif or a folder.")
    if options["vector"]:
        raise click.UsageError("--vector is for maps: choose --output map.tif.")
    image, mask = pathlib.Path(images[0]), options["mask"]
    if not image.is_file():
        raise InputError(f"{image} does not exist.")
    views = choose_protocol(**chosen_views(options, options["protocol"]))
    if mask:
        check_target(mask)
    if output:
        check_picture(output)
    trained = model_metadata(model)
    form = image_format(options).completed(trained.form)
    pixels, valid = read_image(image, form)
    warn_of_other_channels(image, form, trained)
    predictor = compile_chosen(model, options)
    labels = image_labels(predictor, pixels, views)
    if valid is not None:
        labels[~valid] = IGNORE_INDEX
    if output:
        with atomic_write(output) as path:
            overlay(pixels, labels, trained.classes).save(path)
    if mask:
        write_class_map(mask, labels, trained.classes, like=image)
    return picture_summary(labels, trained.classes)


def warn_of_other_channels(image: str | pathlib.Path, form, trained) -> None:
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


if __name__ == "__main__":
    command()
