"""What a run notes of how it was started, and the check when it is resumed."""

import json
import logging
import pathlib
import shlex
import typing
from collections.abc import Mapping

from keras_deeplab._internal.errors import InputError
from keras_deeplab.data.source import DataSource
from keras_deeplab.training.loop.provenance import data_record, environment, git_revision
from keras_deeplab.zoo.metadata import ModelMetadata
from keras_deeplab.zoo.run_folders import RUN_RECORD, Record, check_version, read_run, run_record

Sources = Mapping[str, DataSource | None]
COMPARED = ("variant", "classes", "ignore", "bands", "value_range", "recipe", "settings")

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
    data = _hashes(sources)
    if repeated is not None:
        _warn_of_other_data(repeated, data, "the run to repeat")
    return {
        "settings": dict(settings),
        "command": shlex.join(command),
        "options": dict(options),
        "data": data,
        "source": git_revision(),
        "environment": environment(),
    }


def check_resumed(
    output: pathlib.Path,
    sources: Sources,
    metadata: ModelMetadata,
    *,
    recipe: Mapping[str, typing.Any],
    settings: Mapping[str, typing.Any],
) -> None:
    """Raises a `ValueError` unless a run can be resumed with these; warns of other data."""
    noted = read_run(output)
    check_version(noted, output)
    here = _comparable(run_record(metadata, recipe=recipe, settings=settings))
    there = _comparable(noted)
    changed = [key for key in COMPARED if here[key] != there[key]]
    if changed:
        raise InputError(
            f"--resume with other options than {output / RUN_RECORD}: "
            + "; ".join(f"{key}: {there[key]} there, {here[key]} here" for key in changed)
        )
    _warn_of_other_data(noted, _hashes(sources), str(output))


def _comparable(record: Record) -> Record:
    record = json.loads(json.dumps(record))  # as read from a file
    return {key: {**record, **record["input"]}.get(key) for key in COMPARED}


def _hashes(sources: Sources) -> dict[str, typing.Any]:
    return {name: data_record(source.files()) for name, source in sources.items() if source}


def _warn_of_other_data(noted: Record, data: Mapping[str, typing.Any], run: str) -> None:
    for name in data:
        if data[name] != noted.get("data", {}).get(name):
            logger.warning("The %s files are not those of %s.", name, run)
