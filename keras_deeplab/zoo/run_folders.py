"""The record that `keras-deeplab train` leaves in the folder of a run."""

import json
import pathlib

RUN_RECORD = "run.json"  # variant, classes, recipe, options, machine, data


def read_run(folder):
    """The record of a training run as a dict; a `ValueError` when the folder holds none."""
    path = pathlib.Path(folder) / RUN_RECORD
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"{folder} is no folder of a training run: {path}: {error}.") from error
