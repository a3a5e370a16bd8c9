"""Options that say which ground of scenes is for validation, and its record in a run folder."""

from __future__ import annotations

import pathlib
import typing

import click

if typing.TYPE_CHECKING:
    from keras_deeplab.commands.data_options import Decorator, Options
    from keras_deeplab.data.files.validation import ValidationPlace
    from keras_deeplab.data.source import DataSource

KINDS = ("val_area", "val_scenes", "val_fraction")  # parameter names, of which one is given
BLOCKS = ("val_blocks", "val_seed")
FILES = ("val_images", "val_masks", "val_labels", "val_pairs", "val_split")
GROUND_FILE, PICTURE_FILE = "validation.geojson", "validation.png"
MOST_PICTURES = 6  # scenes in the picture
EXISTING = click.Path(exists=True, path_type=pathlib.Path)


def validation_options() -> list[Decorator]:
    """The options of validation by place, for `validation_place`."""
    return [
        click.option(
            "--val-area",
            type=EXISTING,
            help="Polygons of the ground for validation, a part of the scenes of --images.",
        ),
        click.option(
            "--val-scenes",
            type=EXISTING,
            multiple=True,
            help="Scene of --images that is for validation alone; repeatable.",
        ),
        click.option(
            "--val-fraction",
            type=click.FloatRange(0, 1, min_open=True, max_open=True),
            metavar="SHARE",
            help="Share of the labelled ground to validate on, in blocks at random places.",
        ),
        click.option(
            "--val-blocks",
            type=click.IntRange(1),
            help="Number of blocks of --val-fraction. Default: 4.",
        ),
        click.option(
            "--val-seed",
            type=click.IntRange(0),
            help="Seed of the places of these blocks. Default: 0.",
        ),
    ]


def check_validation_options(options: Options) -> None:
    """Raises a `click.UsageError` when options of validation contradict each other."""
    given = [_flag(name) for name in KINDS if options[name]]
    others = [_flag(name) for name in FILES if options[name]]
    if len(given) > 1 or (given and others):
        raise click.UsageError(f"{', '.join(given + others)} cannot be combined: give one.")
    blocks = [_flag(name) for name in BLOCKS if options[name] is not None]
    if blocks and options["val_fraction"] is None:
        raise click.UsageError(f"{', '.join(blocks)}: only with --val-fraction.")


def validation_place(options: Options, window: int) -> ValidationPlace | None:
    """The `ValidationPlace` that the options of a command describe; `None` without any.

    Args:
        options: Options of the command by parameter name.
        window: Side of the training windows in pixels, which is the gap.
    """
    from keras_deeplab.data.files.validation import ValidationPlace

    if not any(options[name] for name in KINDS):
        return None
    blocks = {name.removeprefix("val_"): options[name] for name in BLOCKS}
    return ValidationPlace(
        options["val_area"],
        options["val_scenes"],
        options["val_fraction"],
        gap=window,
        **{name: value for name, value in blocks.items() if value is not None},
    )


def validation_settings(options: Options) -> dict[str, typing.Any]:
    """What a resumed run must have in common with the run, as JSON has it."""
    settings = {name: options[name] for name in (*KINDS, *BLOCKS)}
    settings["val_scenes"] = [str(path.absolute()) for path in options["val_scenes"]]
    if options["val_area"] is not None:
        settings["val_area"] = str(options["val_area"].absolute())
    return settings


def write_validation(source: DataSource, folder: pathlib.Path) -> None:
    """Writes the validation ground of scenes to a run folder, as GeoJSON and as a picture."""
    from keras_deeplab._internal.files import atomic_write, write_json
    from keras_deeplab.data.drawing import stack_pictures
    from keras_deeplab.data.files.overview import validation_overview
    from keras_deeplab.prediction.overlay import as_picture

    found = source.validation_scenes()
    if not found:
        return
    write_json(folder / GROUND_FILE, found[0][1].geojson())
    pictures = [
        (as_picture(image), pathlib.Path(scene.path).name)
        for scene, ground in found[:MOST_PICTURES]
        for image in [validation_overview(scene, ground, source.form)]
    ]
    with atomic_write(folder / PICTURE_FILE) as beside:
        stack_pictures(pictures).save(beside)
    more = f", {MOST_PICTURES} of {len(found)} scenes" if len(found) > MOST_PICTURES else ""
    click.echo(f"Validation ground: {folder / PICTURE_FILE}{more}", err=True)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
