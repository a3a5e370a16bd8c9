"""Polygons of a class map, or parts of them, with what is known of each."""

from __future__ import annotations

import typing

import numpy as np

PIXELS, AREA, CONFIDENCE, KNOWN = range(4)  # columns of `totals`


class Parts(typing.NamedTuple):
    """Polygons or parts of them.

    Attributes:
        values: Class of each, `(N,)`.
        totals: Pixels, square metres, sum of the confidence, and number of pixels that have one:
            `(N, 4)`.
        shapes: `shapely` polygons in columns and rows of the map, `(N,)`.
    """

    values: np.ndarray
    totals: np.ndarray
    shapes: np.ndarray

    def where(self, chosen: np.ndarray) -> Parts:
        """Some of them, by a mask or by indices."""
        return Parts(*(column[chosen] for column in self))


NO_PARTS = Parts(np.zeros(0, np.uint8), np.zeros((0, 4)), np.zeros(0, object))


def join_parts(parts: list[Parts]) -> Parts:
    """All of them as one."""
    return Parts(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
