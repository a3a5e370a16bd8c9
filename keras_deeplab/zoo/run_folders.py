"""The folder of a training run, as a model to load: its record and its weights."""

import json
import pathlib
import typing

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab.models.inputs import input_statistics
from keras_deeplab.zoo.metadata import RGB, ModelMetadata

RUN_RECORD = "run.json"  # metadata of the model, recipe, options, machine, data
RUN_VERSION = 2  # of the record; 1, without the key "version", had other names in its recipe
CHECK_IMAGE = "check_image.tif"  # a validation image, see `read_check_image`
KEPT_WEIGHTS = ("best", "averaged", "last")  # the first that is there is the run's result

Record = dict[str, typing.Any]


def read_run(folder: StrPath) -> Record:
    """The record of a training run; a `ValueError` when the folder does not hold one."""
    path = pathlib.Path(folder) / RUN_RECORD
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"{folder} is not a training run folder: {path}: {error}.") from error


def check_version(record: Record, folder: StrPath) -> None:
    """Raises a `ValueError` when a run of an older version is to be resumed or repeated."""
    version = record.get("version", 1)
    if version != RUN_VERSION:
        raise InputError(
            f"{pathlib.Path(folder) / RUN_RECORD} was written by another version of keras_deeplab "
            f"(record version {version}, this one reads {RUN_VERSION}). The run can be used as a "
            "model, but neither resumed nor repeated. Start a new run with --init from its weights."
        )


def run_record(metadata: ModelMetadata | None, **notes: typing.Any) -> Record:
    """What `run.json` holds: the model's metadata, if any, and what is noted of its training."""
    return {"version": RUN_VERSION, **(metadata.to_json() if metadata else {}), **notes}


def run_metadata(record: Record, folder: StrPath) -> ModelMetadata:
    """`ModelMetadata` of the model that a run trained."""
    where = str(pathlib.Path(folder) / RUN_RECORD)
    if record.get("version", 1) == RUN_VERSION:
        return ModelMetadata.from_json(record, where=where)
    bands = record.get("bands")
    channels = len(bands or RGB)
    mean, std = input_statistics(channels)
    form = {"bands": bands, "value_range": record.get("value_range")}
    inputs = {
        "channels": None if bands else list(RGB),
        "mean": list(mean),
        "std": list(std),
        **form,
    }
    crop = record.get("recipe", {}).get("crop")
    return ModelMetadata.from_json(
        {**record, "input": inputs, "resolution_m": None, "crop": crop}, where=where
    )


def run_weights(folder: StrPath) -> pathlib.Path:
    """The weights to use: the best, else the averaged, else the last ones.

    Raises:
        ValueError: When nothing was saved yet.
    """
    paths = [pathlib.Path(folder) / f"{name}.weights.h5" for name in KEPT_WEIGHTS]
    for path in paths:
        if path.is_file():
            return path
    raise InputError(
        f"{folder} holds no weights yet ({', '.join(path.name for path in paths)}): the run ended "
        "before its first save."
    )
