"""Scores of a coarser or finer grid, row by row on the grid of the scene."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keras_deeplab.prediction.raster.blending import Rows
from keras_deeplab.prediction.raster.boxes import Part


def scene_rows(
    rows: Iterator[Rows], part: Part, first_column: int, scale: tuple[float, float]
) -> Iterator[Rows]:
    """Interpolates scores bilinearly at the centres of the scene's pixels.

    What a pixel gets does not depend on the part.

    Args:
        rows: Scores on the grid of the prediction, from top to bottom without gaps, from column
            `first_column` of it on. They begin with a row that the part needs, or before.
        part: The part of the scene.
        first_column: Column of the prediction's grid that `rows` begin with.
        scale: Pixels of the scene in a pixel of the prediction, vertically and horizontally.

    Yields:
        First row and scores of the part on the grid of the scene, without gaps.
    """
    if scale == (1.0, 1.0):
        yield from _cut(rows, part, first_column)
        return
    x = positions(np.arange(part.left, part.right), scale[1])
    done = part.top  # rows of the scene before it are done
    top, kept = 0, None  # rows that wait, and where they begin
    for first, scores in rows:
        scores = interpolate(scores, x, axis=1, first=first_column)
        top, kept = (first, scores) if kept is None else (top, np.concatenate([kept, scores]))
        ready = min(rows_before(first + len(scores) - 1, scale[0]), part.bottom)
        if ready > done:
            y = positions(np.arange(done, ready), scale[0])
            yield done, interpolate(kept, y, axis=0, first=top)
            done = ready
            needed = int(positions(np.array([done]), scale[0])[0])  # may be still to come
            used = min(max(needed - top, 0), len(kept))
            kept, top = kept[used:], top + used
    if kept is not None and done < part.bottom:  # below the centre of the last row
        y = positions(np.arange(done, part.bottom), scale[0])
        yield done, interpolate(kept, y, axis=0, first=top)


def _cut(rows: Iterator[Rows], part: Part, first_column: int) -> Iterator[Rows]:
    """The rows and columns of a part."""
    columns = slice(part.left - first_column, part.right - first_column)
    for first, scores in rows:
        above, below = max(part.top - first, 0), min(part.bottom - first, len(scores))
        if above < below:
            yield first + above, scores[above:below, columns]


def positions(pixels: np.ndarray, scale: float) -> np.ndarray:
    """Where centres of the scene's pixels are on the prediction's grid, in its pixels."""
    return (pixels + 0.5) / scale - 0.5


def rows_before(last: int, scale: float) -> int:
    """Number of the scene's rows that can be interpolated from the rows 0 to `last`."""
    return int(np.floor((last + 0.5) * scale - 0.5)) + 1


def interpolate(array: np.ndarray, where: np.ndarray, axis: int, first: int = 0) -> np.ndarray:
    """Linear interpolation along an axis; positions outside get the value at the border.

    Args:
        array: The values.
        where: Positions.
        axis: The axis.
        first: Position of the first value.
    """
    last = first + array.shape[axis] - 1
    where = np.clip(where, first, last)
    below = np.floor(where).astype(int)
    above = np.minimum(below + 1, last)
    weight = (where - below).astype(np.float32)
    weight = weight.reshape([-1 if dim == axis else 1 for dim in range(array.ndim)])
    values = array.take(below - first, axis)
    return values + (array.take(above - first, axis) - values) * weight
