"""The folder of a training run, as a model to load: its record and its weights."""

import json
import pathlib
import typing

from keras_deeplab._internal.files import StrPath
from keras_deeplab.data.class_table import ClassTable, parse_class_table
from keras_deeplab.data.files.images import ImageFormat

RUN_RECORD = "run.json"  # variant, classes, bands, recipe, options, machine, data
RUN_VERSION = 2  # of the record; 1, without the key "version", had other names in its recipe
KEPT_WEIGHTS = ("best", "averaged", "last")  # the first that is there is the run's result

Record = dict[str, typing.Any]


def read_run(folder: StrPath) -> Record:
    """The record of a training run; a `ValueError` when the folder does not hold one."""
    path = pathlib.Path(folder) / RUN_RECORD
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"{folder} is not a training run folder: {path}: {error}.") from error


def check_version(record: Record, folder: StrPath) -> None:
    """Raises a `ValueError` when a run of an older version is to be resumed or repeated."""
    version = record.get("version", 1)
    if version != RUN_VERSION:
        raise ValueError(
            f"{pathlib.Path(folder) / RUN_RECORD} was written by another version of keras_deeplab "
            f"(record version {version}, this one reads {RUN_VERSION}). The run can be used as a "
            "model, but neither resumed nor repeated. Start a new run with --init from its weights."
        )


def run_classes(record: Record, folder: StrPath) -> ClassTable:
    """`ClassTable` of a run."""
    return parse_class_table(record, where=str(pathlib.Path(folder) / RUN_RECORD))


def run_format(record: Record) -> ImageFormat:
    """`ImageFormat` of the files that a run was trained on."""
    return ImageFormat(record.get("bands"), record.get("value_range"))


def run_weights(folder: StrPath) -> pathlib.Path:
    """The weights to use: the best, else the averaged, else the last ones.

    Raises:
        ValueError: When nothing was saved yet.
    """
    paths = [pathlib.Path(folder) / f"{name}.weights.h5" for name in KEPT_WEIGHTS]
    for path in paths:
        if path.is_file():
            return path
    raise ValueError(
        f"{folder} holds no weights yet ({', '.join(path.name for path in paths)}): the run ended "
        "before its first save."
    )
