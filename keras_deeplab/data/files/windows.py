"""Windows at random positions of images that are too large to be read whole."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class RandomWindows:
    """A number of square windows at random positions, as `from_folder(windows=...)` takes them.

    Images are drawn in proportion to their area, positions uniformly. Window `n` depends on the
    seed, `n` and the sizes of the images alone, so every pass over the dataset sees the same
    windows: for more variety ask for more of them, which costs nothing until they are read.

    Args:
        size: Side of a window in pixels; of an image with a shorter side all of that side is taken.
        count: Number of windows, the length of the dataset.
        seed: Integer, 0 or more.
    """

    size: int
    count: int
    seed: int = 0

    def __post_init__(self):
        for name, least in (("size", 1), ("count", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(
                    f"RandomWindows {name} must be an integer of {least} or more, got {value!r}."
                )

    def place(self, index, shapes):
        """Where window `index` lies.

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
