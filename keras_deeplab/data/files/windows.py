"""Random windows of images that are too large to be read whole."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from keras_deeplab._internal.errors import InputError


@dataclasses.dataclass(frozen=True)
class RandomWindows:
    """Square windows at random positions, for `from_folder(windows=...)`.

    Images are drawn in proportion to their area, positions uniformly. Window `n` depends only on
    the seed, `n` and the sizes of the images, so every pass over the dataset sees the same windows.
    For more variety increase `count`, which costs nothing until the windows are read.

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
