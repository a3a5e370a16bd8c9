"""Options of `predict` for georeferenced maps, and which files they write."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import click

from keras_deeplab.commands.data_options import OUTPUT_FILE, Decorator, Options, decorator

MAP_SUFFIXES = (".tif", ".tiff")


class Resolution(click.ParamType):
    """`model`, `native`, or metres per pixel."""

    name = "model|native|METRES"

    def convert(self, value, parameter, context):
        if value in ("model", "native") or isinstance(value, float):
            return value
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is neither model, native nor a number of metres.", parameter)


def scene_options() -> Decorator:
    """Decorator: the options of a map, for `predict_raster`."""
    return decorator(
        click.option(
            "--nodata",
            type=float,
            metavar="VALUE",
            help="Map: stored value without data, if the file does not say so.",
        ),
        click.option(
            "--resolution",
            type=Resolution(),
            default="model",
            show_default=True,
            help="Map: ground resolution to predict at.",
        ),
        click.option(
            "--overlap", type=click.IntRange(0), help="Map: overlap of the windows, in pixels."
        ),
        click.option(
            "--confidence", type=OUTPUT_FILE, help="Map: probability of the class, percent (.tif)."
        ),
        click.option(
            "--probabilities", type=OUTPUT_FILE, help="Map: probability of each class (.tif)."
        ),
        click.option(
            "--probabilities-dtype",
            type=click.Choice(["uint8", "float16"]),
            default="uint8",
            show_default=True,
            help="Map: uint8 stores probabilities as 0 to 250, float16 as 0 to 1.",
        ),
        click.option(
            "--vector",
            type=OUTPUT_FILE,
            help="Map: polygons of the classes (.gpkg, .geojson, .fgb).",
        ),
        click.option(
            "--on-bad-block",
            type=click.Choice(["stop", "nodata"]),
            default="stop",
            show_default=True,
            help="Map: what to do with parts of a file that cannot be read.",
        ),
    )


def is_map(output: pathlib.Path | None) -> bool:
    """Whether an `--output` is a map or a folder of maps, not a picture."""
    if output is None:
        return False
    return output.suffix.lower() in MAP_SUFFIXES or output.is_dir() or not output.suffix


def scene_targets(
    images: Sequence[str], output: pathlib.Path, options: Options
) -> list[tuple[list[str], pathlib.Path]]:
    """The images of each map, and its file.

    Raises:
        click.UsageError: When two maps of a folder would have one name, or when options that name
            one file are given for several maps.
    """
    if output.suffix.lower() in MAP_SUFFIXES and not output.is_dir():
        return [(list(images), output)]
    targets = [([image], output / f"{pathlib.PurePath(image).stem}.tif") for image in images]
    paths = [path for _, path in targets]
    twice = {path.name for path in paths if paths.count(path) > 1}
    if twice:
        raise click.UsageError(f"Several images would write {', '.join(sorted(twice))}.")
    if len(targets) > 1 and (options["confidence"] or options["probabilities"]):
        raise click.UsageError("--confidence and --probabilities are for one map.")
    if len(targets) > 1 and options["vector"]:
        first = targets[0][1]
        raise click.UsageError(
            "--vector is for one map. Write polygons afterwards, for each map: keras-deeplab "
            f"vectorize {first} --output {first.with_suffix('.gpkg')}"
        )
    return targets
