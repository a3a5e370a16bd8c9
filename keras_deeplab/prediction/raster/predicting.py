"""Predicts all bands of a run, in this process or in several, and writes its maps."""

from __future__ import annotations

import contextlib
import numbers
import typing
from collections.abc import Iterator, Sequence

import tqdm

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab._internal.processes import sigterm_interrupts
from keras_deeplab.prediction.raster.band_files import BandRecord
from keras_deeplab.prediction.raster.bands import Band, runs
from keras_deeplab.prediction.raster.class_areas import ClassAreas
from keras_deeplab.prediction.raster.maps import Maps
from keras_deeplab.prediction.raster.pool import Pool
from keras_deeplab.prediction.raster.run import Run
from keras_deeplab.prediction.vector.vectorizing import vectorize
from keras_deeplab.runtimes.predictor import Predictor
from keras_deeplab.runtimes.threads import processors, told_threads


def check_workers(workers: int, predictor: Predictor) -> int:
    """Number of workers; a `ValueError` when the model cannot be computed by so many."""
    if not isinstance(workers, numbers.Integral) or workers < 1:
        raise InputError(f"workers must be a positive integer, got {workers!r}.")
    if workers > 1 and predictor.source is None:
        raise InputError(
            f"workers={workers} needs a model that other processes can load: give a predictor of "
            "compile_for_inference with a zoo name, a run folder or a file, not with a Keras model."
        )
    return int(workers)


def predict_run(
    run: Run, *, vector: StrPath | None, workers: int, resume: bool, progress: bool
) -> tuple[ClassAreas, int, dict[str, typing.Any] | None]:
    """Predicts a run, and writes its maps and polygons.

    Args:
        run: `Run`.
        vector: File of the polygons, or `None`.
        workers: Number of processes; no more than bands are started.
        resume: Whether to continue an interrupted run of the same key.
        progress: Whether to show a progress bar.

    Returns:
        Areas of the classes, the number of pixels that could not be read, and what `vectorize`
        returns.
    """
    workers = min(workers, len(run.bands))
    threads = told_threads() or max(processors() // workers, 1)
    key = run.key(threads)
    with Maps(run.layout, run.bands) as maps, sigterm_interrupts():
        records = maps.begin(key, resume=resume)
        missing = [band for band in run.bands if band.index not in records]
        with _bar(run, missing, progress) as bar:
            if workers == 1 or not missing:
                found = _computed_here(run, missing, bar)
            else:
                found = Pool(run, key, min(workers, len(missing)), threads).compute(
                    missing, bar.update
                )
            with contextlib.closing(found):
                records |= {band.index: record for band, record in found}
        areas = run.new_areas()
        for band in run.bands:  # always in this order: sums of floats depend on it
            areas.add_counts(records[band.index].pixels, records[band.index].square_metres)
        maps.finish(areas.pixels, run.tags())
        polygons = None
        if vector is not None:  # until they are written, the next run can continue this one
            maps_of = run.layout.targets
            polygons = vectorize(
                maps_of["classes"], vector, confidence=maps_of.get("confidence"), progress=progress
            )
    return areas, sum(record.bad_pixels for record in records.values()), polygons


def _computed_here(
    run: Run, bands: Sequence[Band], bar: tqdm.tqdm
) -> typing.Generator[tuple[Band, BandRecord], None, None]:
    for following in runs(bands):
        with contextlib.closing(run.compute(following, bar.update)) as computed:
            yield from computed


@contextlib.contextmanager
def _bar(run: Run, missing: Sequence[Band], progress: bool) -> Iterator[tqdm.tqdm]:
    total = sum(band.pixels for band in run.bands)
    with tqdm.tqdm(
        total=total,
        initial=total - sum(band.pixels for band in missing),
        unit="px",
        unit_scale=True,  # 1.23G
        disable=not progress,
        leave=False,
        smoothing=0.05,
    ) as bar:
        yield bar
