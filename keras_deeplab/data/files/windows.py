"""Windows of images that are too large to be read whole: at random, or on a grid."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab.data.files.grid import window_starts


class Cells:
    """A coarse grid over each of several images, whose cells are drawn by weight.

    Args:
        side: Pixels per side of a cell.
        weights: For each image, the weight of each cell, `(rows, columns)` of integers; at least
            one is above 0.
    """

    def __init__(self, side: int, weights: Sequence[np.ndarray]) -> None:
        self.side = side
        self.weights = list(weights)
        self._ends = np.cumsum([image.sum() for image in weights])
        self._sums = [np.cumsum(image) for image in weights]

    def draw(self, random: np.random.Generator) -> tuple[int, int, int]:
        """`(image number, row, column)` of a random cell."""
        number = int(np.searchsorted(self._ends, random.integers(self._ends[-1]), side="right"))
        sums = self._sums[number]
        index = int(np.searchsorted(sums, random.integers(sums[-1]), side="right"))
        row, column = np.unravel_index(index, self.weights[number].shape)
        return number, int(row), int(column)

    def any_in(self, number: int, top: int, bottom: int, left: int, right: int) -> bool:
        """Whether a cell that a box of pixels of an image meets has a weight."""
        rows = slice(top // self.side, -(-bottom // self.side))
        columns = slice(left // self.side, -(-right // self.side))
        return bool(self.weights[number][rows, columns].any())


@dataclasses.dataclass(frozen=True)
class RandomWindows:
    """Square windows at random positions, for `windows=` of `from_folder` and `from_rasters`.

    `from_folder` draws images in proportion to their area and positions uniformly; `from_rasters`
    draws windows around random labelled pixels. Window `n` depends only on the seed, `n` and the
    images, so every pass over the dataset sees the same windows. For more variety increase `count`,
    which costs nothing until the windows are read.

    Args:
        size: Side of a window in pixels. If a side of an image is shorter, the window has its
            length.
        count: Number of windows, the length of the dataset.
        seed: Seed of the positions, 0 or more.
    """

    size: int
    count: int
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("size", 1), ("count", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise InputError(
                    f"RandomWindows {name} must be an integer of {least} or more, got {value!r}."
                )

    def place(
        self, index: int, shapes: Sequence[tuple[int, int]]
    ) -> tuple[int, int, int, int, int]:
        """Position of window `index`.

        Args:
            index: Number of the window, from 0.
            shapes: `(height, width)` of each image.

        Returns:
            `(image number, row, column, height, width)`.
        """
        random = np.random.default_rng((self.seed, index))
        areas = np.cumsum([height * width for height, width in shapes])
        number = int(np.searchsorted(areas, random.integers(areas[-1]), side="right"))
        sides = np.minimum(shapes[number], self.size)
        corner = random.integers(np.subtract(shapes[number], sides), endpoint=True)
        return (number, *corner.tolist(), *sides.tolist())

    def place_around(
        self, index: int, shapes: Sequence[tuple[int, int]], cells: Cells
    ) -> tuple[int, int, int, int, int]:
        """Position of window `index`, which is as `place` but has a pixel of a drawn cell.

        Args:
            index: Number of the window, from 0.
            shapes: `(height, width)` of each image.
            cells: `Cells` of the images, which are drawn by their weight.

        Returns:
            As of `place`.
        """
        random = np.random.default_rng((self.seed, index))
        number, row, column = cells.draw(random)
        cell = np.array((row, column)) * cells.side
        sides = np.minimum(shapes[number], self.size)
        pixel = random.integers(cell, np.minimum(cell + cells.side, shapes[number]))
        corner = pixel - random.integers(sides)
        corner = np.clip(corner, 0, np.subtract(shapes[number], sides))
        return (number, *corner.tolist(), *sides.tolist())


@dataclasses.dataclass(frozen=True)
class GridWindows:
    """Windows on a grid that count every pixel once, for `from_rasters(windows=...)`.

    Neighbours overlap, so that no pixel is predicted without its surroundings; the labels of each
    half of the overlap count in the nearer window and are ignored (255) in the other one.

    Args:
        size: Side of a window in pixels. If a side of an image is shorter, the window has its
            length.
        overlap: Pixels that neighbours share; more at the end of an axis.
    """

    size: int = 1024
    overlap: int = 128

    def __post_init__(self) -> None:
        for name, least in (("size", 1), ("overlap", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise InputError(
                    f"GridWindows {name} must be an integer of {least} or more, got {value!r}."
                )
        if self.overlap > self.size // 2:
            raise InputError(
                f"GridWindows overlap must be at most half of the size {self.size}, got "
                f"{self.overlap}."
            )

    def axis(self, length: int) -> list[tuple[int, int, int, int]]:
        """`(start, end, first, last)` of the windows of one axis.

        Pixels `start` to `end` are read, those from `first` to before `last` count.
        """
        starts = window_starts(length, self.size, self.size - self.overlap)
        ends = [min(start + self.size, length) for start in starts]
        middles = [(end + start) // 2 for end, start in zip(ends, starts[1:], strict=False)]
        return list(zip(starts, ends, [0, *middles], [*middles, length], strict=True))
