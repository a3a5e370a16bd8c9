"""The journal of a run: its key, and which bands are finished; kept next to the maps."""

from __future__ import annotations

import contextlib
import json
import logging
import pathlib
import shutil
import typing
import uuid
from collections.abc import Sequence

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import atomic_write, parts_folder
from keras_deeplab._internal.locks import locked_target
from keras_deeplab.prediction.raster.band_files import BandRecord, read_record
from keras_deeplab.prediction.raster.bands import Band
from keras_deeplab.prediction.raster.layout import Layout
from keras_deeplab.prediction.raster.run_key import Key, changed_fields
from keras_deeplab.prediction.raster.targets import write_errors

RUN = "run.json"
SHOWN = 4  # changed fields in a message

logger = logging.getLogger("keras_deeplab")


def begin(
    layout: Layout, bands: Sequence[Band], key: Key, *, resume: bool = True
) -> dict[int, BandRecord]:
    """Begins a run, or continues the one that was interrupted; the targets are locked.

    Args:
        layout: `Layout`.
        bands: All bands.
        key: The key of the run. What a run of another key left is removed; a log message names the
            fields that changed.
        resume: Whether to continue; else what an earlier run left is removed.

    Returns:
        Records of the finished bands by index.
    """
    key = {**key, "bands": len(bands)}
    old = [_read(layout.folder(kind)) for kind in layout.targets]
    if resume and _same_run(layout, old, key):
        remove_unfinished(layout)
        found = {band.index: read_record(layout, band) for band in bands}
        finished = {index: record for index, record in found.items() if record is not None}
        logger.warning(
            "Continuing %s: %d of %d bands are finished.",
            layout.targets["classes"],
            len(finished),
            len(bands),
        )
        return finished
    _remove_other_targets(layout, old)
    remove(layout)
    run = {"run": str(uuid.uuid4()), "key": key}
    for kind in layout.targets:
        with (
            write_errors(layout.targets[kind]),
            atomic_write(layout.folder(kind) / RUN) as path,
        ):
            path.write_text(json.dumps(run, indent=1), encoding="utf-8")
    return {}


def _same_run(layout: Layout, old: Sequence[dict[str, typing.Any] | None], key: Key) -> bool:
    """Whether all folders are of one run of this key; says why not where there was a run."""
    known = [run for run in old if run is not None]
    if not known:
        return False
    changes = changed_fields(known[0]["key"], key)
    if len(known) < len(old) or any(run["run"] != known[0]["run"] for run in known):
        changes = changes or ["parts of another run were written since"]
    if not changes:
        return True
    more = f" and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
    logger.warning(
        "%s starts over: it is not the interrupted run, changed: %s%s.",
        layout.targets["classes"],
        ", ".join(changes[:SHOWN]),
        more,
    )
    return False


def _read(folder: pathlib.Path) -> dict[str, typing.Any] | None:
    try:
        run = json.loads((folder / RUN).read_text(encoding="utf-8"))
        return run if isinstance(run["run"], str) and isinstance(run["key"], dict) else None
    except (OSError, ValueError, KeyError, TypeError):  # none, or damaged
        return None


def _remove_other_targets(layout: Layout, old: Sequence[dict[str, typing.Any] | None]) -> None:
    """Removes what an earlier run left of maps that this one does not write."""
    written = [path.absolute() for path in layout.targets.values()]
    for run in old:
        targets = {} if run is None else run["key"].get("options", {}).get("targets", {})
        for path in map(pathlib.Path, targets.values()):
            if path not in written and parts_folder(path).exists():
                with contextlib.suppress(InputError, OSError), locked_target(path):
                    shutil.rmtree(parts_folder(path))


def remove(layout: Layout) -> None:
    """Removes the journal with all bands."""
    for kind in layout.targets:
        (layout.folder(kind) / RUN).unlink(missing_ok=True)  # first: nothing to continue is left
    for kind in layout.targets:
        shutil.rmtree(layout.folder(kind), ignore_errors=True)


def remove_unfinished(layout: Layout) -> None:
    """Removes all files that are not of finished bands."""
    for kind in layout.targets:
        for path in layout.folder(kind).iterdir():
            finished = path.stem.isdigit() and path.suffix in (".tif", ".json")
            if path.is_dir():
                shutil.rmtree(path)
            elif not finished and path.name != RUN:
                path.unlink()


def keep(layout: Layout, bands: Sequence[Band]) -> None:
    """Ends an interrupted run: says how to continue it; without a finished band nothing is kept."""
    finished = sum(read_record(layout, band) is not None for band in bands)
    if not finished:
        remove(layout)
        return
    remove_unfinished(layout)
    logger.warning(
        "%d of %d bands are finished and kept in %s. Run the same again to continue; --no-resume "
        "or resume=False starts over.",
        finished,
        len(bands),
        layout.folder("classes"),
    )
