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

import filelock

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import without_nan

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
        key: Hash of each of the things that decide on the map; `None` where the scene could not be
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
    key: dict[str, str] | None = None
    summary: dict[str, typing.Any] | None = None
    time: str = ""


class Manifest:
    """The events of a folder of maps; new ones are appended.

    Args:
        folder: The folder. It need not exist before the first event.

    Attributes:
        path: The file.
        latest: The last `Event` of each map, by its name.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.path = folder / NAME
        self.latest: dict[str, Event] = {}
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
            self.latest[event.map] = event

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
        self.latest[event.map] = event

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Context manager: no other process makes maps of this folder.

        Raises:
            ValueError: When another process does.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.path.with_name(f".{NAME}.lock"))
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise InputError(f"Another process is writing maps to {self.path.parent}.") from None
        try:
            yield
        finally:
            with contextlib.suppress(PermissionError):  # Windows: filelock removes it itself
                pathlib.Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()
