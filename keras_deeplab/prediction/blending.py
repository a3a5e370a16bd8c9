"""Scores of overlapping windows, blended row by row: only rows that overlap are held."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from keras_deeplab.prediction.windows import Axis

Rows = tuple[int, np.ndarray]  # first row, scores (rows, columns, classes) float32
Scores = Callable[[int, int], np.ndarray | None]  # of a window, by its indices; None: nothing there


def blended_rows(
    rows: Axis,
    columns: Axis,
    scores: Scores,
    classes: int,
    part: tuple[int, int],
    *,
    first: int = 0,
    last_window: int | None = None,
) -> Iterator[Rows]:
    """Blends the windows of some columns of a scene, from top to bottom.

    A row is the sum of the same terms in the same order, whatever row was the first.

    Args:
        rows: Windows from top to bottom.
        columns: Windows from left to right.
        scores: Function from the indices of a window (row, column) to its scores
            `(height, width, classes)`.
        classes: Number of classes.
        part: The columns, first and after the last.
        first: Row to begin with.
        last_window: Row of windows to end with: no row of the next one is returned.

    Yields:
        First row and scores `(rows, columns of the part, classes)`, float32, without gaps. They are
        0 where no window has scores.
    """
    left, right = part
    held = np.zeros((rows.size, right - left, classes), np.float32)
    for i in window_rows(rows, first, last_window):
        top, row_weights = rows.starts[i], rows.weights[i]
        for j in columns.touching(left, right):
            found = scores(i, j)
            if found is not None:
                start = columns.starts[j]
                inside = slice(max(left - start, 0), min(right - start, columns.size))
                weights = np.multiply.outer(row_weights, columns.weights[j][inside])
                target = slice(start + inside.start - left, start + inside.stop - left)
                held[:, target] += found[:, inside] * weights[..., np.newaxis]
        done = rows.starts[i + 1] - top if i + 1 < len(rows.starts) else rows.size
        skipped = max(first - top, 0)  # rows of which windows are missing
        if skipped < done:
            yield top + skipped, held[skipped:done].copy()
        held[:-done] = held[done:]
        held[-done:] = 0


def window_rows(rows: Axis, first: int, last_window: int | None) -> range:
    """Indices of the rows of windows that `blended_rows` needs the scores of."""
    before = rows.touching(first, rows.length)[0]
    return range(before, len(rows.starts) if last_window is None else last_window + 1)
