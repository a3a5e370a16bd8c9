"""What a run notes of how it was started, and the check when it is resumed."""

import json
import logging
import os
import pathlib
import shlex
import typing
from collections.abc import Mapping

from keras_deeplab._internal.errors import InputError
from keras_deeplab.data.source import DataSource
from keras_deeplab.training.loop.provenance import data_record, environment, git_revision
from keras_deeplab.training.recipe import Recipe
from keras_deeplab.zoo.run_folders import RUN_RECORD, Record, check_version, read_run

Sources = Mapping[str, DataSource | None]
COMPARED = ("variant", "classes", "ignore", "bands", "value_range")

logger = logging.getLogger("keras_deeplab")


def run_notes(
    sources: Sources,
    *,
    settings: Mapping[str, typing.Any],
    options: Mapping[str, typing.Any],
    command: list[str],
    repeated: Record | None,
) -> dict[str, typing.Any]:
    """The notes of a new run, for `train`.

    Args:
        sources: `DataSource`s by name; their files are hashed.
        settings: What a resumed run must have in common with this one, besides recipe and model.
        options: Options to repeat the run with.
        command: The command line, as a list.
        repeated: Record of the run that this one repeats, or `None`; other data is warned of.
    """
    data = hashes(sources)
    if repeated is not None:
        warn_of_other_data(repeated, data, "the run to repeat")
    return {
        "settings": dict(settings),
        "command": shlex.join(command),
        "options": dict(options),
        "data": data,
        "source": git_revision(),
        "environment": environment(),
    }


def check_resumed(output: str | os.PathLike[str], record: Record) -> None:
    """Raises a `ValueError` unless the run in a folder can be resumed with another record.

    Compared are recipe, model and, if the record has them, settings.
    """
    noted = read_run(output)
    check_version(noted, output)
    there, here = _comparable(noted), _comparable(record)
    changed = [key for key in here if here[key] != there.get(key)]
    if changed:
        raise InputError(
            f"Cannot resume with other options than {pathlib.Path(output) / RUN_RECORD}: "
            + "; ".join(f"{key}: {there.get(key)} there, {here[key]} here" for key in changed)
        )


def _comparable(record: Record) -> Record:
    record = json.loads(json.dumps(record))  # as read from a file
    model = {**record, **record.get("input", {})}
    return {
        **{key: model[key] for key in COMPARED if key in model},
        **noted_recipe(record).resolved(),
        **record.get("settings", {}),
    }


def noted_recipe(record: Record) -> Recipe:
    """The recipe of a run record; a `ValueError` when this version has no such recipe."""
    try:
        return Recipe(**record["recipe"])
    except (KeyError, TypeError, InputError) as error:
        raise InputError(
            f"{RUN_RECORD} notes a recipe that this version of keras_deeplab does not accept: "
            f"{error} Start a new run with --init from its weights."
        ) from error


def hashes(sources: Sources) -> dict[str, typing.Any]:
    """Number, size and hash of the files of each source."""
    return {name: data_record(source.files()) for name, source in sources.items() if source}


def warn_of_other_data(noted: Record, data: Mapping[str, typing.Any], run: str) -> None:
    """Warns when files are not those that a record notes."""
    for name in data:
        if data[name] != noted.get("data", {}).get(name):
            logger.warning("The %s files are not those of %s.", name, run)
