"""A worker process: computes the bands that `Pool` sends it. Messages are lines of JSON."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import traceback
import typing

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.processes import end_with_parent
from keras_deeplab.data.files.rasters import UnreadableFileError
from keras_deeplab.prediction.raster.run_key import changed_fields

if typing.TYPE_CHECKING:
    from keras_deeplab.prediction.raster.run import Run

Message = dict[str, typing.Any]


class Parent:
    """The connection to the process that started this one."""

    def __init__(self) -> None:
        # Whatever libraries print goes to the log.
        self._output = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def send(self, **message: typing.Any) -> None:
        """Sends a message."""
        self._output.write(json.dumps(message) + "\n")
        self._output.flush()

    def receive(self) -> Message:
        """Waits for a message; ends this process at once where there will be none."""
        line = sys.stdin.readline()
        if not line:
            os._exit(0)
        return json.loads(line)


def main() -> None:
    """Computes bands until the parent closes the connection."""
    parent = Parent()
    job = parent.receive()
    end_with_parent(signal.SIGKILL, job["parent"])
    try:
        _work(parent, job)
    except BrokenPipeError:  # the parent is gone
        os._exit(1)
    except Exception as error:
        traceback.print_exc()
        parent.send(error=_as_message(error))
        sys.exit(1)


def _work(parent: Parent, job: Message) -> None:
    from keras_deeplab.prediction.raster.opening import open_run
    from keras_deeplab.prediction.raster.run import RunOptions
    from keras_deeplab.runtimes.compiling import compile_for_inference

    logging.getLogger("keras_deeplab").setLevel(logging.ERROR)  # the parent has warned
    predictor = compile_for_inference(*job["model"])
    with open_run(predictor, RunOptions.from_json(job["options"])) as run:
        changes = changed_fields(job["key"], run.key(job["threads"]))
        if changes:
            raise InputError(f"Changed while the scene was predicted: {', '.join(changes)}.")
        parent.send(ready=True)
        while True:
            _compute(parent, run, parent.receive()["bands"])


def _compute(parent: Parent, run: Run, indices: list[int]) -> None:
    """Computes bands that follow each other, until the parent says to stop."""
    bands = [run.bands[index] for index in indices]
    computed = run.compute(bands, lambda pixels: parent.send(pixels=pixels))
    with contextlib.closing(computed):
        for band, record in computed:
            parent.send(done=band.index, record=record._asdict())
            if band != bands[-1] and not parent.receive()["go_on"]:
                return


def _as_message(error: Exception) -> Message:
    message: Message = {"kind": "other", "text": f"{type(error).__name__}: {error}"}
    if isinstance(error, UnreadableFileError):
        return {"kind": "unreadable", "path": error.path, "reason": error.reason}
    if isinstance(error, (InputError, OSError)):
        message = {"kind": "input" if isinstance(error, InputError) else "os", "text": str(error)}
    return message
