"""Maps of many scenes in a folder: which are to be made, and one after the other."""

from __future__ import annotations

import dataclasses
import logging
import pathlib
import time
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence

from keras_deeplab._internal.errors import InputError
from keras_deeplab.prediction.raster.area import OutsideAreaError
from keras_deeplab.prediction.raster.manifest import DONE, FAILED, SKIPPED, Event, Manifest

logger = logging.getLogger("keras_deeplab")

Summary = dict[str, typing.Any]


class Examined(typing.NamedTuple):
    """What is known of a scene before it is predicted.

    Attributes:
        megapixels: Its size, within the area of interest if there is one.
        key: Hash of each of the things that decide on its map, besides the model.
    """

    megapixels: float
    key: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Task:
    """A scene, and what is to be done with it.

    Args:
        scene: The raster.
        target: File of its map.
        status: `None` where the map is to be made; else that of its last event.
        reason: Why it is to be made, failed or was skipped.
        examined: `Examined`; `None` for a scene that cannot be opened or is outside of the area.
    """

    scene: str
    target: pathlib.Path
    status: str | None
    reason: str | None
    examined: Examined | None = None


def plan_maps(
    targets: Mapping[str, pathlib.Path],
    manifest: Manifest,
    examine: Callable[[str, pathlib.Path], Examined],
    model_key: Callable[[], str],
    *,
    retry_failed: bool = False,
    again: bool = False,
) -> list[Task]:
    """Finds the maps that are missing or that would change.

    Args:
        targets: The map of each scene.
        manifest: `Manifest` of the folder.
        examine: Function from a scene and its map to what it is; raises an `InputError` for one
            that cannot be predicted, an `OutsideAreaError` for one outside of the area.
        model_key: Function that returns the hash of the model; called where it decides.
        retry_failed: Whether scenes that failed are tried again.
        again: Whether all maps are made again.
    """
    tasks = []
    found: tuple[str | None, str | None]
    for scene, target in targets.items():
        try:
            examined = examine(scene, target)
        except InputError as error:
            status = SKIPPED if isinstance(error, OutsideAreaError) else FAILED
            tasks.append(Task(scene, target, status, str(error)))
            continue
        known = manifest.latest.get(target.name)
        if known is None or again:
            found = None, "new" if known is None else "made again"
        else:
            found = _judge(known, target, examined, model_key, retry_failed)
        tasks.append(Task(scene, target, *found, examined))
    return tasks


def _judge(
    known: Event,
    target: pathlib.Path,
    examined: Examined,
    model_key: Callable[[], str],
    retry_failed: bool,
) -> tuple[str | None, str | None]:
    """Status and reason of the `Task` of a scene that has an event."""
    if known.key is None:
        return None, f"{known.status} before"
    key = {**examined.key, "model": model_key()}
    changes = [part for part in {**key, **known.key} if key.get(part) != known.key.get(part)]
    if changes:
        return None, f"changed: {', '.join(changes)}"
    if known.status == FAILED:
        return (None, "failed before") if retry_failed else (FAILED, known.reason)
    if not target.exists():
        return None, "its map is missing"
    return DONE, None


def make_maps(
    tasks: Sequence[Task],
    manifest: Manifest,
    predict: Callable[[str, pathlib.Path], Summary],
    model_key: Callable[[], str],
) -> Iterator[Event]:
    """Makes the maps that are to be made; a scene that fails does not stop the others.

    Args:
        tasks: Those of `plan_maps`.
        manifest: `Manifest` that gets an event for each map, and for each scene that cannot be
            predicted.
        predict: Function that writes the map of a scene and returns its summary.
        model_key: Function that returns the hash of the model.

    Yields:
        Each event, as soon as it is in the manifest.

    Raises:
        OSError: When a map cannot be written; the scenes after it would fail too.
    """
    for task in tasks:
        if task.status is None:
            event, error = _make(task, predict, model_key)
            manifest.append(event)
            yield event
            if error is not None:
                raise error
        elif task.examined is None:
            event = Event(task.target.name, task.scene, task.status, task.reason)
            known = manifest.latest.get(event.map)
            if known is None or dataclasses.replace(known, time="") != event:
                manifest.append(event)
                yield event


def _make(
    task: Task, predict: Callable[[str, pathlib.Path], Summary], model_key: Callable[[], str]
) -> tuple[Event, OSError | None]:
    """Makes a map; returns what happened, and the error at which to stop."""
    assert task.examined is not None  # else its status is known
    start = time.perf_counter()
    key = {**task.examined.key, "model": model_key()}
    summary, reason, fatal = None, None, None
    try:
        summary = predict(task.scene, task.target)
    except InputError as error:
        reason = str(error)
    except OSError as error:  # of writing; those of reading are input errors
        reason, fatal = str(error), error
    except Exception as error:
        logger.exception("%s failed.", task.scene)
        reason = f"{type(error).__name__}: {error}"
    event = Event(
        task.target.name,
        task.scene,
        DONE if reason is None else FAILED,
        reason,
        seconds=time.perf_counter() - start,
        megapixels=task.examined.megapixels,
        key=key,
        summary=summary,
    )
    return event, fatal


def seconds_per_megapixel(manifest: Manifest, model: str | None) -> float | None:
    """Measured time of the maps that a model made; `None` where there are none."""
    done = [
        event
        for event in manifest.latest.values()
        if event.status == DONE and event.key is not None and event.key.get("model") == model
    ]
    megapixels = sum(event.megapixels or 0 for event in done)
    return sum(event.seconds or 0 for event in done) / megapixels if megapixels else None
