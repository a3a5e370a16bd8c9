"""Pixels and area on the ground of each class."""

from __future__ import annotations

import typing

import numpy as np

from keras_deeplab.data.files.places import CELL, Places


class ClassAreas:
    """Pixels and square metres of each class, added up part by part.

    Args:
        classes: Number of classes.
        places: `Places` of the scene, or `None`.
    """

    def __init__(self, classes: int, places: Places | None) -> None:
        self.pixels = np.zeros(classes, np.int64)
        self.square_metres = np.zeros(classes)
        self._places = places

    def add(self, labels: np.ndarray, top: int, left: int) -> None:
        """Adds class indices `(H, W)` uint8, 255 without data, whose first pixel this is."""
        height, width = labels.shape
        for row in range(0, height, CELL):
            for column in range(0, width, CELL):
                cell = labels[row : row + CELL, column : column + CELL]
                counts = np.bincount(cell.ravel(), minlength=256)[: len(self.pixels)]
                self.pixels += counts
                if self._places is not None and counts.any():
                    first, start = top + row, left + column
                    area = self._places.area(
                        first, first + cell.shape[0], start, start + cell.shape[1]
                    )
                    self.square_metres += counts * (area / cell.size)

    def add_counts(
        self, pixels: typing.Sequence[int], square_metres: typing.Sequence[float]
    ) -> None:
        """Adds what was counted elsewhere."""
        self.pixels += np.asarray(pixels, np.int64)
        self.square_metres += np.asarray(square_metres)

    def record(self, names: typing.Sequence[str]) -> list[dict[str, typing.Any]]:
        """A dict for each class: `name`, `pixels`, `share`, and `hectares` or `None`."""
        total = max(int(self.pixels.sum()), 1)
        known = self._places is not None and np.isfinite(self.square_metres).all()
        return [
            {
                "name": name,
                "pixels": int(pixels),
                "share": int(pixels) / total,
                "hectares": float(self.square_metres[i] / 1e4) if known else None,
            }
            for i, (name, pixels) in enumerate(zip(names, self.pixels, strict=True))
        ]
