"""The manifest of a folder of maps: what happened to each scene, a line of JSON for each event."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import logging
import os
import pathlib
import typing
from collections.abc import Iterator

from keras_deeplab._internal.files import without_nan
from keras_deeplab._internal.locks import locked_by

NAME = "manifest.jsonl"
DONE, FAILED, SKIPPED = "done", "failed", "skipped"

logger = logging.getLogger("keras_deeplab")


@dataclasses.dataclass(frozen=True)
class Event:
    """What happened to a scene.

    Args:
        map: Name of its map in the folder.
        scene: The raster.
        status: `"done"`, `"failed"` or `"skipped"`.
        reason: Why it failed or was skipped.
        seconds: Time that the map took.
        megapixels: Size of the scene, within the area of interest if there is one.
        key: What decides on the map: hashes and options; `None` where the scene could not be
            opened.
        summary: What `predict_raster` returned.
        time: When it was recorded, UTC, in ISO 8601.
    """

    map: str
    scene: str
    status: str
    reason: str | None = None
    seconds: float | None = None
    megapixels: float | None = None
    key: dict[str, typing.Any] | None = None
    summary: dict[str, typing.Any] | None = None
    time: str = ""


class Manifest:
    """The events of a folder of maps; new ones are appended.

    Args:
        folder: The folder. It need not exist before the first event.

    Attributes:
        path: The file.
        latest: The last `Event` of each map, by its name.
        tried: The last one of each map whose scene could be opened.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.path = folder / NAME
        self.latest: dict[str, Event] = {}
        self.tried: dict[str, Event] = {}
        self._torn = False
        if self.path.exists():
            self._read()

    def _read(self) -> None:
        lines = self.path.read_bytes().split(b"\n")
        self._torn = bool(lines[-1])  # a line that was not finished
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                event = Event(**json.loads(line))
            except (ValueError, TypeError):
                logger.warning("%s: line %d is damaged and does not count.", self.path, number)
                continue
            self._note(event)

    def _note(self, event: Event) -> None:
        self.latest[event.map] = event
        if event.key is not None:
            self.tried[event.map] = event

    def append(self, event: Event) -> None:
        """Adds an event; it is on the disk when this returns."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        event = dataclasses.replace(event, time=now)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(without_nan(dataclasses.asdict(event)), ensure_ascii=False)
        line = f"\n{text}\n" if self._torn else f"{text}\n"
        with open(self.path, "ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
        self._torn = False
        self._note(event)


@contextlib.contextmanager
def locked_manifest(folder: pathlib.Path) -> Iterator[Manifest]:
    """Context manager: the `Manifest` of a folder, for the one process that makes its maps.

    Raises:
        ValueError: When another process makes maps there.
    """
    with locked_by(folder / f".{NAME}.lock", f"maps to {folder}"):
        yield Manifest(folder)
