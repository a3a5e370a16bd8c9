"""The record of a run, `run.json`: written at its start, compared when it goes on."""

import json
import logging
import pathlib
import shlex
import typing
from collections.abc import Mapping

from keras_deeplab._internal.files import write_json
from keras_deeplab.data.source import DataSource
from keras_deeplab.training.loop.provenance import data_record, environment, git_revision
from keras_deeplab.training.loop.run_folder import RunFolder
from keras_deeplab.zoo.run_folders import RUN_RECORD, RUN_VERSION, Record, check_version, read_run

logger = logging.getLogger("keras_deeplab")


def note_run(
    output: pathlib.Path,
    *,
    record: Record,
    sources: Mapping[str, DataSource | None],
    options: Mapping[str, typing.Any],
    command: list[str],
    repeated: Record | None,
    resume: bool,
) -> None:
    """Writes the record of a new run; checks a resumed run against its record.

    Args:
        output: Folder of the run.
        record: What a resumed run must have in common with the one that it continues.
        sources: `DataSource`s by name; their files are hashed.
        options: Options to repeat the run with.
        command: The command line, as a list.
        repeated: Record of the run that this one repeats, or `None`.
        resume: Whether the run in `output` continues.

    Raises:
        ValueError: When a resumed run is of another version or has other options.
    """
    record = json.loads(json.dumps({"version": RUN_VERSION, **record}))  # as it will be read
    if resume:
        noted = read_run(output)
        check_version(noted, output)
        _check_same(record, noted, output)
        _warn_of_other_data(noted, _hashes(sources), str(output))
    elif not RunFolder(output).last.exists():
        data = _hashes(sources)
        if repeated is not None:
            _warn_of_other_data(repeated, data, "the run to repeat")
        record |= {
            "command": shlex.join(command),
            "options": dict(options),
            "data": data,
            "source": git_revision(),
            "environment": environment(),
        }
        write_json(output / RUN_RECORD, record)


def _check_same(record: Record, noted: Record, output: pathlib.Path) -> None:
    changed = [key for key in record if record[key] != noted.get(key)]
    if changed:
        raise ValueError(
            f"--resume with other options than {output / RUN_RECORD}: "
            + "; ".join(f"{key}: {noted.get(key)} there, {record[key]} here" for key in changed)
        )


def _hashes(sources: Mapping[str, DataSource | None]) -> dict[str, typing.Any]:
    return {name: data_record(source.files()) for name, source in sources.items() if source}


def _warn_of_other_data(noted: Record, data: Mapping[str, typing.Any], run: str) -> None:
    for name in data:
        if data[name] != noted.get("data", {}).get(name):
            logger.warning("The %s files are not those of %s.", name, run)
