"""Options of `predict` for georeferenced maps: which scenes, and which files they write."""

from __future__ import annotations

import collections
import logging
import pathlib
import typing
from collections.abc import Sequence

import click

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.names import natural_key
from keras_deeplab.commands.data_options import (
    OUTPUT_FILE,
    Decorator,
    Options,
    decorator,
    image_format,
)
from keras_deeplab.commands.evaluation_options import chosen_views

if typing.TYPE_CHECKING:
    from keras_deeplab.data.files.images import ImageFormat
    from keras_deeplab.zoo.metadata import ModelMetadata

MAP_SUFFIXES = (".tif", ".tiff")
SCENE_SUFFIXES = (*MAP_SUFFIXES, ".vrt", ".jp2", ".img", ".jpg", ".jpeg", ".png")  # in a folder

logger = logging.getLogger("keras_deeplab")


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
        click.option(
            "--aoi",
            metavar="FILE",
            help="Map: predict only within the polygons of this vector file (.gpkg, .geojson, "
            ".shp, ...), in any CRS.",
        ),
        click.option(
            "--aoi-layer", metavar="NAME", help="Map: layer of --aoi, where there are several."
        ),
        click.option(
            "--crop-to-aoi", is_flag=True, help="Map: only as large as the polygons of --aoi."
        ),
        click.option(
            "--retry-failed", is_flag=True, help="Folder of maps: try scenes that failed again."
        ),
        click.option(
            "--dry-run",
            is_flag=True,
            help="Folder of maps: show what would be done and how long it takes; write nothing.",
        ),
        click.option(
            "--workers",
            type=click.IntRange(1),
            default=1,
            show_default=True,
            help="Map: processes that predict at the same time; they share the processors.",
        ),
        click.option(
            "--resume/--no-resume",
            default=True,
            show_default=True,
            help="Map: continue an interrupted run of the same model, scene and options. "
            "--no-resume: make every map of a folder again.",
        ),
    )


def map_options(options: Options) -> dict[str, typing.Any]:
    """The arguments of `predict_raster` that all maps of a command have in common.

    Raises:
        click.UsageError: For options of pictures, and options that need others.
    """
    from keras_deeplab.prediction.protocols import choose_protocol

    if options["mask"]:
        raise click.UsageError("--mask is for pictures; a map holds the class indices itself.")
    if options["stride"]:
        raise click.UsageError("--stride is for pictures; windows of a map have an --overlap.")
    if (options["crop_to_aoi"] or options["aoi_layer"]) and not options["aoi"]:
        raise click.UsageError("--crop-to-aoi and --aoi-layer need --aoi FILE.")
    form = image_format(options)
    views = chosen_views({**options, "window": None}, options["protocol"])
    same = ("nodata", "resolution", "window", "overlap", "on_bad_block", "workers", "resume")
    return {
        "bands": form.bands,
        "value_range": form.value_range,
        "protocol": choose_protocol(**views),
        **{name: options[name] for name in (*same, "aoi", "aoi_layer", "crop_to_aoi")},
    }


def is_map(output: pathlib.Path | None) -> bool:
    """Whether an `--output` is a map or a folder of maps, not a picture."""
    if output is None:
        return False
    return output.suffix.lower() in MAP_SUFFIXES or output.is_dir() or not output.suffix


def is_one_map(output: pathlib.Path) -> bool:
    """Whether an `--output` that is not a picture is a map, not a folder of maps."""
    return output.suffix.lower() in MAP_SUFFIXES and not output.is_dir()


def scene_files(images: Sequence[str]) -> list[str]:
    """The rasters of a command: those named, and those in folders that are named.

    Raises:
        ValueError: When a folder has no raster.
    """
    files: list[str] = []
    for image in images:
        folder = pathlib.Path(image)
        files += _rasters_in(folder) if folder.is_dir() else [image]
    return files


def _rasters_in(folder: pathlib.Path) -> list[str]:
    """The rasters of a folder by name; a log message tells what else is there."""
    found = []
    others: collections.Counter[str] = collections.Counter()
    for path in sorted(folder.iterdir(), key=lambda path: natural_key(path.name)):
        if path.is_dir():
            others["folders"] += 1
        elif path.suffix.lower() in SCENE_SUFFIXES and path.name[0] != ".":
            found.append(str(path))
        else:
            others[f"*{path.suffix}" if path.suffix else path.name] += 1
    if not found:
        raise InputError(f"{folder} has no raster ({', '.join(SCENE_SUFFIXES)}).")
    if others:
        listed = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
        logger.warning("%s: %d rasters; left out: %s.", folder, len(found), listed)
    return found


def map_targets(
    scenes: Sequence[str], folder: pathlib.Path, options: Options
) -> dict[str, pathlib.Path]:
    """The map of each scene in a folder.

    Raises:
        click.UsageError: When two maps would have one name, or for options that name one file.
        ValueError: When a map would take the place of a scene.
    """
    targets = [folder / f"{pathlib.PurePath(scene).stem}.tif" for scene in scenes]
    counts = collections.Counter(target.name for target in targets)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise click.UsageError(f"Several images would write {', '.join(twice)}.")
    if options["confidence"] or options["probabilities"]:
        raise click.UsageError(
            "--confidence and --probabilities are for one map: --output map.tif."
        )
    if options["vector"]:
        first = next(iter(targets))
        raise click.UsageError(
            "--vector is for one map. Write polygons afterwards, for each map: keras-deeplab "
            f"vectorize {first} --output {first.with_suffix('.gpkg')}"
        )
    taken = {pathlib.Path(scene).resolve() for scene in scenes}
    for target in targets:
        if target.resolve() in taken:
            raise InputError(f"{target} is a scene itself: choose another folder for its map.")
    return dict(zip(scenes, targets, strict=True))


def warn_of_other_channels(
    image: str | pathlib.Path, form: ImageFormat, trained: ModelMetadata
) -> None:
    """Warns where the bands of a file mean something else than the model's channels."""
    from keras_deeplab.data.files.ground import describe_ground

    channels = describe_ground([image], form).channels
    if channels and trained.channels and channels != trained.channels:
        logger.warning(
            "%s is read as %s, but the model was trained on %s. Choose other bands with --bands if "
            "the file has them.",
            image,
            ", ".join(channels),
            ", ".join(trained.channels),
        )
