"""Options that say which polygons are the labels of scenes, and their `PolygonLabels`."""

from __future__ import annotations

import pathlib
import typing
from collections.abc import Sequence

import click

if typing.TYPE_CHECKING:
    from keras_deeplab.commands.data_options import Decorator, Options
    from keras_deeplab.data.files.polygon_labels import PolygonLabels

VECTOR_FILE = click.Path(exists=True, path_type=pathlib.Path)  # file geodatabases are folders
FILES = ("labels", "layer", "labelled_area")  # parameter names, which may have a prefix
# Parameter names of what training and validation have in common.
HOW = ("class_field", "burn_order", "all_touched", "ignore_unknown", "resolution")


class Names(click.ParamType):
    """Names separated by commas, as a tuple; also a list, as a run record holds it."""

    name = "names"

    def convert(self, value, parameter, context):
        parts = value.split(",") if isinstance(value, str) else value
        return tuple(part.strip() for part in parts)


def polygon_files(prefix: str = "") -> list[Decorator]:
    """The options that name polygons as labels, for `polygon_labels`.

    Args:
        prefix: Prefix of the option names, for example `"val-"` for `--val-labels`.
    """
    default = " Default: those of --labels." if prefix else ""
    return [
        click.option(
            f"--{prefix}labels",
            type=VECTOR_FILE,
            help="Instead of masks: polygons over scenes (GeoPackage, GeoJSON, ...), or a COCO "
            f"file of the images (.json).{default}",
        ),
        click.option(
            f"--{prefix}layer",
            metavar="NAME",
            help=f"Layer of --{prefix}labels; required if the file has several.",
        ),
        click.option(
            f"--{prefix}labelled-area",
            type=VECTOR_FILE,
            help="Polygons of the labelled ground; other ground is ignored. Default: all ground.",
        ),
    ]


def polygon_format() -> list[Decorator]:
    """The options that say how polygons become labels, for `polygon_labels`."""
    return [
        click.option(
            "--class-field",
            metavar="NAME",
            help="Field of --labels with the class of each polygon: its name, or its index in the "
            "class table. Default: all polygons are of one class.",
        ),
        click.option(
            "--burn-order",
            type=Names(),
            metavar="NAMES",
            help="Overlapping polygons: classes from bottom to top, or a field of numbers, the "
            "highest on top. Default: the later one in the file is on top.",
        ),
        click.option(
            "--all-touched",
            is_flag=True,
            help="Polygons cover all pixels that they touch, not only those whose centre is in "
            "them.",
        ),
        click.option(
            "--ignore-unknown",
            is_flag=True,
            help="Ignore polygons whose class is not in the class table, instead of an error.",
        ),
        click.option(
            "--resolution",
            type=click.FloatRange(0, min_open=True),
            metavar="METRES",
            help="Ground resolution to read scenes at, in metres per pixel. Default: as stored.",
        ),
    ]


def polygon_labels(options: Options, prefix: str = "") -> PolygonLabels | None:
    """The `PolygonLabels` that the options of a command describe, `None` without any.

    Those with a prefix are by default those without it.

    Raises:
        click.UsageError: When there are options of polygons, but no file.
    """
    from keras_deeplab.data.files.polygon_labels import PolygonLabels

    if prefix and options[f"{prefix}labels"] is None:
        refuse_polygon_options(options, prefix, FILES[1:])
        prefix = ""
    if options[f"{prefix}labels"] is None:
        refuse_polygon_options(options, prefix)
        return None
    path, layer, area = (options[f"{prefix}{name}"] for name in FILES)
    return PolygonLabels(
        path,
        class_field=options["class_field"],
        layer=layer,
        burn_order=options["burn_order"] or (),
        all_touched=options["all_touched"],
        area=area,
        ignore_unknown=options["ignore_unknown"],
    )


def coco_annotations(options: Options, prefix: str = "") -> pathlib.Path | None:
    """The COCO file that `--labels` names; `None` if it names polygons or nothing.

    That with a prefix is by default that without it.

    Raises:
        click.UsageError: When there are options of polygons.
    """
    from keras_deeplab.data.files.coco import is_coco

    path = options[f"{prefix}labels"] or options["labels"]
    if path is None or not is_coco(path):
        return None
    names = [f"{prefix}{name}" for name in FILES[1:]]
    given = [f"--{name.replace('_', '-')}" for name in (*names, *HOW) if options[name]]
    if given:
        raise click.UsageError(f"{', '.join(given)}: only for polygons; {path} is a COCO file.")
    return path


def refuse_polygon_options(
    options: Options, prefix: str = "", names: Sequence[str] = FILES
) -> None:
    """Raises a `click.UsageError` when options of polygons are given that have no effect.

    Args:
        options: Options of the command by parameter name.
        prefix: Prefix of the parameter names.
        names: The names without the prefix.
    """
    refused = [f"{prefix}{name}" for name in names]
    if not (prefix or options.get("val_labels")):
        refused += HOW
    given = [f"--{name.replace('_', '-')}" for name in refused if options[name]]
    if given:
        flag = f"--{prefix}".replace("_", "-")
        raise click.UsageError(
            f"{', '.join(given)}: only for scenes whose labels are polygons. Give them with "
            f"{flag}images and {flag}labels, without masks."
        )
