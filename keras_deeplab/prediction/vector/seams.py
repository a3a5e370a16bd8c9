"""Joins the parts of polygons across the borders of blocks."""

from __future__ import annotations

import numpy as np

from keras_deeplab.prediction.vector.components import connected
from keras_deeplab.prediction.vector.parts import NO_PARTS, Parts, join_parts
from keras_deeplab.prediction.vector.rings import join_polygons, without_straight_points

NONE = -1  # instead of the number of a part


class Seams:
    """Collects the parts of a strip of blocks, and joins them with those of the strips above.

    A polygon is open while it reaches the end of the strip. Its pieces are collected, and united
    when it is finished, so that a polygon through every strip takes no longer than others.

    Args:
        width: Columns of the map.
        straighten: Whether to remove points at which a polygon does not turn.
    """

    def __init__(self, width: int, *, straighten: bool) -> None:
        self._straighten = straighten
        self._start(NO_PARTS, [], np.full(width, NONE))

    def _start(self, open_parts: Parts, pieces: list[list], row: np.ndarray) -> None:
        """Starts a strip: open polygons, the pieces of each, and the polygon at each column."""
        self._pieces = pieces
        self._parts = [open_parts]  # parts at borders; their numbers count on from the open ones
        self._count = len(pieces)
        self._above = row
        self._bottom = np.full_like(row, NONE)
        self._right = np.full(0, NONE)
        self._touching: list[np.ndarray] = []

    def add(self, parts: Parts, numbers: np.ndarray, left: int) -> Parts:
        """Adds the next block of the strip.

        Args:
            parts: Its polygons.
            numbers: The polygon that each pixel belongs to, or `NONE`.
            left: Its first column.

        Returns:
            Those polygons that do not touch the border of the block: they are finished.
        """
        at_border = _mask(len(parts.values), numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1])
        renumbered = np.full(len(at_border) + 1, NONE)  # the last element is that of NONE
        renumbered[np.flatnonzero(at_border)] = self._count + np.arange(at_border.sum())
        columns = slice(left, left + numbers.shape[1])
        self._touching.append(np.stack((self._above[columns], renumbered[numbers[0]])))
        if left:
            self._touching.append(np.stack((self._right, renumbered[numbers[:, 0]])))
        self._right = renumbered[numbers[:, -1]]
        self._bottom[columns] = renumbered[numbers[-1]]
        self._parts.append(parts.where(at_border))
        self._count += int(at_border.sum())
        return parts.where(~at_border)

    def join(self, *, last: bool) -> Parts:
        """Joins what touches; returns the polygons that are finished.

        Args:
            last: Whether no other strip follows.
        """
        parts = join_parts(self._parts)
        touching = np.concatenate(self._touching, axis=1)
        one, other = touching[:, (touching != NONE).all(axis=0)]
        same = parts.values[one] == parts.values[other]
        count, label = connected(len(parts.values), one[same], other[same])
        values, totals = np.zeros(count, np.uint8), np.zeros((count, 4))
        values[label] = parts.values
        np.add.at(totals, label, parts.totals)
        pieces = _gather(self._pieces, parts.shapes[len(self._pieces) :], label, count)
        joined = Parts(values, totals, np.zeros(count, object))
        row = np.append(label, NONE)[self._bottom]
        is_open = _mask(count, row[:0] if last else row)
        finished, unfinished = np.flatnonzero(~is_open), np.flatnonzero(is_open)
        joined.shapes[finished] = self._united([pieces[index] for index in finished])
        number = np.append(np.cumsum(is_open) - 1, NONE)
        self._start(joined.where(is_open), [pieces[index] for index in unfinished], number[row])
        return joined.where(finished)

    def _united(self, pieces: list[list]) -> np.ndarray:
        """The polygons of these pieces."""
        counts = np.array([len(each) for each in pieces], np.int64)
        shapes = np.array([each[0] for each in pieces], object)
        several = np.flatnonzero(counts > 1)
        if len(several):
            group = np.repeat(np.arange(len(several)), counts[several])
            parts = [piece for index in several for piece in pieces[index]]
            shapes[several] = join_polygons(np.array(parts, object), group)
        return without_straight_points(shapes) if self._straighten else shapes


def _mask(count: int, *numbers: np.ndarray) -> np.ndarray:
    """Mask of `count` elements: which of them are among the numbers."""
    mask = np.zeros(count + 1, bool)  # the last element is that of NONE
    for each in numbers:
        mask[each] = True
    return mask[:-1]


def _gather(pieces: list[list], shapes: np.ndarray, label: np.ndarray, count: int) -> list[list]:
    """The pieces of each polygon: those it had, and the new shapes."""
    gathered: list[list] = [[] for _ in range(count)]
    for own, index in zip(pieces, label[: len(pieces)].tolist(), strict=True):
        fewer, more = sorted((own, gathered[index]), key=len)
        more.extend(fewer)  # never the many to the few
        gathered[index] = more
    for shape, index in zip(shapes, label[len(pieces) :].tolist(), strict=True):
        gathered[index].append(shape)
    return gathered
