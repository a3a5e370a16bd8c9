"""`keras-deeplab predict`: the classes of an image as a picture, or of a scene as a map."""

from __future__ import annotations

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
from keras_deeplab.commands.scene_options import (
    is_map,
    is_one_map,
    map_options,
    scene_files,
    scene_options,
    warn_of_other_channels,
)


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
    --output folder       a map of each IMAGE, and manifest.jsonl: the next call
                          makes only what is missing or changed
    --mask mask.png       the class indices of a picture

    An IMAGE that is a folder means the rasters in it. Bands and value range are those that the
    model was trained on, unless you give others. Pixels without data (nodata, mask, alpha) get no
    class and do not count.
    """
    from keras_deeplab.commands.startup import silence_tensorflow

    silence_tensorflow()  # it is not even imported where a converted model is in the cache
    from keras_deeplab._internal.files import write_json
    from keras_deeplab.commands.areas import print_summary, write_areas
    from keras_deeplab.commands.map_folder import predict_folder

    if options["dry_run"] and (json_file or csv_file):
        raise click.UsageError("--dry-run writes nothing: leave out --json and --csv.")
    told = click.get_current_context().get_parameter_source("precision")
    if options["protocol"] and told is ParameterSource.DEFAULT:
        options["precision"] = "float32"  # as published
    complete = True
    if is_map(output) and not is_one_map(output):
        summaries, complete = predict_folder(scene_files(images), model, output, options)
        record = summaries
    else:
        predict = predict_map if is_map(output) else predict_picture
        image, record = predict(images, model, output, options)
        print_summary(image, record)
        summaries = {image: record}
    if json_file:
        write_json(json_file, record)
    if csv_file:
        write_areas(csv_file, summaries)
    if not complete:
        click.get_current_context().exit(1)


def predict_map(
    images: tuple[str, ...], model: str, output: pathlib.Path, options: dict
) -> tuple[str, dict]:
    """Writes the georeferenced map of one or several scenes; returns their name and its summary."""
    from keras_deeplab.prediction.raster.opening import open_checked
    from keras_deeplab.prediction.raster.scenes import predict_raster

    if options["dry_run"] or options["retry_failed"]:
        raise click.UsageError("--dry-run and --retry-failed are for a folder: --output maps.")
    scenes, chosen = scene_files(images), map_options(options)
    metadata, form = model_metadata(model), image_format(options)
    maps = (output, options["confidence"], options["probabilities"])
    place = {name: chosen[name] for name in ("nodata", "aoi", "aoi_layer")}
    with open_checked(scenes, maps, metadata, form, vector=options["vector"], **place):
        pass  # mistakes are known before the model is compiled
    warn_of_other_channels(scenes[0], form.completed(metadata.form), metadata)
    summary = predict_raster(
        compile_chosen(model, options),
        scenes,
        output,
        confidence=options["confidence"],
        probabilities=options["probabilities"],
        probabilities_dtype=options["probabilities_dtype"],
        vector=options["vector"],
        **chosen,
    )
    return " ".join(scenes), summary


def predict_picture(
    images: tuple[str, ...], model: str, output: pathlib.Path | None, options: dict
) -> tuple[str, dict]:
    """Writes picture and mask of an image that fits into memory; returns its name and summary."""
    from keras_deeplab._internal.files import atomic_write
    from keras_deeplab.commands.areas import picture_summary
    from keras_deeplab.data.class_table import IGNORE_INDEX
    from keras_deeplab.data.files.images import read_image
    from keras_deeplab.prediction.class_map import check_target, write_class_map
    from keras_deeplab.prediction.overlay import check_picture, overlay
    from keras_deeplab.prediction.protocols import choose_protocol
    from keras_deeplab.prediction.views import image_labels

    if len(images) > 1 or pathlib.Path(images[0]).is_dir():
        raise click.UsageError("Several images need --output map.tif or a folder.")
    if options["aoi"] or options["vector"] or options["dry_run"] or options["retry_failed"]:
        raise click.UsageError(
            "--aoi, --vector, --dry-run and --retry-failed are for maps, not pictures."
        )
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
    return images[0], picture_summary(labels, trained.classes)


if __name__ == "__main__":
    command()
