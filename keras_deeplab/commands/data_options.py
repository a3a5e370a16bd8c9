"""Options that say which labelled images a command reads, and the `DataSource` they describe."""

from __future__ import annotations

import os
import pathlib
import typing
from collections.abc import Callable, Mapping

import click

from keras_deeplab.commands.polygon_options import (
    coco_annotations,
    polygon_files,
    polygon_format,
    polygon_labels,
    refuse_polygon_options,
)

if typing.TYPE_CHECKING:
    from keras_deeplab.data.class_table import ClassTable
    from keras_deeplab.data.files.images import ImageFormat
    from keras_deeplab.data.source import DataSource

FOLDER = click.Path(exists=True, file_okay=False, path_type=pathlib.Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=pathlib.Path)
IMAGES = click.Path(exists=True, path_type=pathlib.Path)  # a folder, or a scene


class OutputPath(click.Path):
    """A path to write to: what would fail only at the end of the work is an error at its start."""

    def convert(self, value, parameter, context):
        path = pathlib.Path(os.fsdecode(super().convert(value, parameter, context)))
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            self.fail(f"{path} cannot be written: {folder} is not a writable folder.", parameter)
        return path


OUTPUT_FOLDER = OutputPath(file_okay=False, path_type=pathlib.Path)
OUTPUT_FILE = OutputPath(dir_okay=False, path_type=pathlib.Path)

Decorator = Callable[[Callable], Callable]
Options = Mapping[str, typing.Any]  # of a command, by parameter name


def decorator(*options: Decorator) -> Decorator:
    """Decorator that applies others in the order of their options in the help."""

    def decorate(command: Callable) -> Callable:
        for option in reversed(options):  # as stacked decorators are applied
            command = option(command)
        return command

    return decorate


def named_dataset() -> Decorator:
    """Decorator: the options that name a prepared dataset, for `data_source`."""
    return decorator(
        click.option("--dataset", metavar="NAME", help="Prepared dataset instead of files."),
        click.option(
            "--data-dir", type=OUTPUT_FOLDER, help="Folder of prepared datasets; see prepare."
        ),
    )


def labelled_images(prefix: str = "", *, what: str = "images") -> Decorator:
    """Decorator: the options that name files of labelled images, for `data_source`.

    Args:
        prefix: Prefix of the option names, for example `"val-"` for `--val-images`.
        what: What to call the images in the help.
    """
    return decorator(
        click.option(
            f"--{prefix}images",
            type=IMAGES,
            multiple=True,
            help=f"Folder of {what}, or, with --{prefix}labels, a scene; repeatable.",
        ),
        click.option(
            f"--{prefix}masks",
            type=FOLDER,
            multiple=True,
            help="Folder of masks, matched to images by file stem; one per image folder.",
        ),
        click.option(
            f"--{prefix}split", type=FILE, help="Text file of the stems to use. Default: all."
        ),
        click.option(
            f"--{prefix}pairs",
            type=FILE,
            help="CSV file with columns image,mask, instead of folders.",
        ),
        *polygon_files(prefix),
    )


def file_format() -> Decorator:
    """Decorator: the options that say how image files are named and read, for `data_source`."""
    return decorator(
        click.option(
            "--mask-suffix", default="", help="Suffix of mask file names, for example _mask."
        ),
        click.option(
            "--mask-values",
            type=MaskValuesText(),
            metavar="VALUE=CLASS,...",
            help="Class of each value in masks that do not hold class indices, for example "
            "0=background,255=building; the class ignore means no label.",
        ),
        *polygon_format(),
        image_options(),
    )


def image_options() -> Decorator:
    """Decorator: the options that say how an image file is read, for `image_format`."""
    return decorator(
        click.option(
            "--bands", type=Bands(), help="Bands to read, in channel order, for example 4,1,2."
        ),
        click.option(
            "--value-range",
            nargs=2,
            type=float,
            metavar="LOW HIGH",
            help="Stored values that map to 0 and 255. Required for files that are not 8-bit.",
        ),
    )


class PathOrName(click.ParamType):
    """A name, or a path: a path is made absolute, so that a run record holds from any folder."""

    name = "path or name"

    def convert(self, value, parameter, context):
        from keras_deeplab.zoo.manifest import list_models

        path = pathlib.Path(value)
        is_path = value not in list_models() and (path.exists() or len(path.parts) > 1)
        return str(path.absolute()) if is_path else value


class Bands(click.ParamType):
    """Numbers separated by commas, as a tuple; also a list, as a run record holds it."""

    name = "bands"

    def convert(self, value, parameter, context):
        if not isinstance(value, str):
            return tuple(value)
        try:
            return tuple(int(band) for band in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers such as 4,1,2.", parameter, context)


class MaskValuesText(click.ParamType):
    """The text of `mask_values.parse_mask_values`, checked."""

    name = "values"

    def convert(self, value, parameter, context):
        from keras_deeplab._internal.errors import InputError
        from keras_deeplab.data.files.mask_values import parse_mask_values

        try:
            parse_mask_values(value)
        except InputError as error:
            self.fail(str(error), parameter, context)
        return value


def image_format(options: Options) -> ImageFormat:
    """The `ImageFormat` of the options of a command."""
    from keras_deeplab.data.files.images import ImageFormat

    return ImageFormat(options["bands"], options["value_range"])


@typing.overload
def data_source(options: Options, *, subset: str, prefix: str = "") -> DataSource: ...
@typing.overload
def data_source(
    options: Options, *, subset: str, prefix: str = "", required: bool
) -> DataSource | None: ...
def data_source(options, *, subset, prefix="", required=True):
    """The `DataSource` that the options of a command describe.

    Args:
        options: Options of the command by parameter name.
        subset: Split of a prepared dataset to take.
        prefix: Prefix of the parameter names of the files, for example `"val_"`.
        required: Whether there must be one.

    Returns:
        `DataSource`; `None` where none is named and none is required.

    Raises:
        click.UsageError: When the options contradict each other or name no source.
    """
    from keras_deeplab.data.files.images import ImageFormat
    from keras_deeplab.data.files.mask_values import parse_mask_values
    from keras_deeplab.data.source import DataSource

    files = {name: options[f"{prefix}{name}"] for name in ("images", "masks", "split", "pairs")}
    form = image_format(options)
    if options["dataset"] is not None:
        if any(files.values()) or form != ImageFormat() or options["mask_values"]:
            raise click.UsageError(
                "--dataset cannot be combined with options that name or read files: "
                "--images, --masks, --split, --pairs, --mask-values, --bands, --value-range."
            )
        refuse_polygon_options(options)
        return DataSource(options["dataset"], options["data_dir"], subset)
    flag = f"--{prefix}".replace("_", "-")
    if not (required or any(files.values()) or options[f"{prefix}labels"]):
        return None
    annotations = coco_annotations(options, prefix)
    if annotations is not None and files["images"] and not (files["masks"] or files["pairs"]):
        return DataSource(
            images=files["images"], annotations=annotations, split=files["split"], form=form
        )
    if not (files["masks"] or files["pairs"] or files["split"]):
        labels = polygon_labels(options, prefix)
        if labels is not None and files["images"]:
            return DataSource(
                images=files["images"], labels=labels, resolution=options["resolution"], form=form
            )
    refuse_polygon_options(options, prefix)
    folders = files["images"] and files["masks"]
    if bool(folders) == bool(files["pairs"]) or (files["split"] and not folders):
        dataset = "" if prefix else ", or --dataset"
        raise click.UsageError(
            f"Give {flag}images and {flag}masks or {flag}labels, or {flag}pairs{dataset}."
        )
    for path in files["images"]:
        if not path.is_dir():
            raise click.UsageError(
                f"{flag}images {path} is not a folder. With {flag}masks, name folders, or use "
                f"{flag}pairs."
            )
    return DataSource(
        **files,
        mask_suffix=options["mask_suffix"],
        form=form,
        mask_values=parse_mask_values(options["mask_values"] or ""),
    )


def class_table(options: Options, source: DataSource) -> ClassTable | None:
    """The `ClassTable` of a source: that of a prepared dataset, or of `--classes`; or `None`."""
    from keras_deeplab.data.class_table import read_class_table

    if source.dataset is None:
        return options["classes"] and read_class_table(options["classes"])
    if options["classes"]:
        raise click.UsageError(f"--classes cannot be combined with --dataset {source.dataset}.")
    return source.classes()
