"""Bands: parts of a scene that are finished one by one, so that a run can be continued."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np

from keras_deeplab.prediction.raster.boxes import Part
from keras_deeplab.prediction.raster.resampling import positions, rows_before
from keras_deeplab.prediction.raster.scores import Plan

ROWS = 1024  # of the prediction in a band, at least
FEWEST = 2  # rows of windows in a band: continuing repeats one, and one is computed ahead


@dataclasses.dataclass(frozen=True)
class Band:
    """Some rows of a part of a scene: those that some rows of windows complete.

    Args:
        index: Number of the band in the scene.
        left: First column.
        right: Column after the last.
        top: First row.
        bottom: Row after the last.
        last_window: Row of windows that completes it.
    """

    index: int
    left: int
    right: int
    top: int
    bottom: int
    last_window: int

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return (self.bottom - self.top) * (self.right - self.left)

    def __str__(self) -> str:
        return f"rows {self.top} to {self.bottom}, columns {self.left} to {self.right}"


def plan_bands(plan: Plan, whole: Part) -> list[Band]:
    """The bands of a part of a scene: from left to right, in these columns from top to bottom."""
    starts, step = plan.rows.starts, max(plan.rows.window - plan.rows.overlap, 1)
    many = max(FEWEST, -(-ROWS // step))
    ends = positions(np.array([whole.top, whole.bottom - 1]), plan.scale[0])
    windows = plan.rows.touching(max(math.floor(ends[0]), 0), math.ceil(ends[1]) + 1)
    bands: list[Band] = []
    for left, right in plan.parts(whole.left, whole.right):
        top = whole.top
        for first in windows[::many]:
            last = min(first + many, windows.stop) - 1
            bottom = whole.bottom
            if last + 1 < windows.stop:
                bottom = min(rows_before(starts[last + 1] - 1, plan.scale[0]), bottom)
            if bottom > top:
                bands.append(Band(len(bands), left, right, top, bottom, last))
            top = max(bottom, top)
    return bands


def runs(bands: Sequence[Band]) -> Iterator[list[Band]]:
    """Bands that follow each other from top to bottom: windows between them are computed once."""
    run: list[Band] = []
    for band in bands:
        if run and not follows(run[-1], band):
            yield run
            run = []
        run.append(band)
    if run:
        yield run


def follows(before: Band, band: Band) -> bool:
    """Whether a band begins where another one of the same columns ends."""
    return (before.left, before.bottom) == (band.left, band.top)
