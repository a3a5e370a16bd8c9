"""Overlapping windows of a scene, and how much each of them counts at each pixel."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab.data.files.grid import window_starts


@dataclasses.dataclass(frozen=True)
class Axis:
    """The windows along one axis of a scene.

    A network sees less context at the border of a window than in its middle. So the outermost
    quarter of an overlap is context only, and in the rest a window counts the more, the farther a
    pixel is from its border. At the ends of the axis nothing is cut off. On an `even` axis all
    windows count the same: their mean, as in mmsegmentation's sliding inference.

    Args:
        length: Pixels of the axis.
        window: Pixels of a window; the only window of a shorter axis has its length.
        overlap: Pixels that two neighbouring windows share, at least.
        even: Whether all windows of a pixel count the same.

    Raises:
        ValueError: When the overlap does not fit the window.
    """

    length: int
    window: int
    overlap: int
    even: bool = False

    def __post_init__(self) -> None:
        most = self.window - 1 if self.even else self.window // 2  # no window is context only
        if not 0 <= self.overlap <= most:
            raise InputError(
                f"overlap must be 0 to {most} pixels for windows of {self.window}, got "
                f"{self.overlap}."
            )

    @property
    def size(self) -> int:
        """Pixels of each window."""
        return min(self.window, self.length)

    @functools.cached_property
    def starts(self) -> list[int]:
        """First pixel of each window."""
        return window_starts(self.length, self.size, min(self.window - self.overlap, self.size))

    @functools.cached_property
    def weights(self) -> list[np.ndarray]:
        """Weights of each window: `(size,)` float32, 0 where a pixel is context only.

        At each pixel of the axis the weights of its windows sum to one.
        """
        total = np.zeros(self.length)
        raw = [self._ramps(index) for index in range(len(self.starts))]
        for start, weights in zip(self.starts, raw, strict=True):
            total[start : start + self.size] += weights
        return [
            (weights / total[start : start + self.size]).astype(np.float32)
            for start, weights in zip(self.starts, raw, strict=True)
        ]

    def _ramps(self, index: int) -> np.ndarray:
        """Distance to the border of the part that counts, up to a limit."""
        if self.even:
            return np.ones(self.size)
        margin = self.overlap // 4
        pixel = np.arange(self.size) + 0.5
        before = np.full(self.size, np.inf) if index == 0 else pixel - margin
        last = index == len(self.starts) - 1
        after = np.full(self.size, np.inf) if last else self.size - pixel - margin
        distance = np.minimum(np.minimum(before, after), max(self.overlap - 2 * margin, 1))
        return np.maximum(distance, 0)

    def counting(self, index: int) -> tuple[int, int]:
        """The pixels at which a window counts: first, and after the last."""
        counted = np.flatnonzero(self.weights[index])
        return self.starts[index] + int(counted[0]), self.starts[index] + int(counted[-1]) + 1

    def touching(self, first: int, last: int) -> range:
        """Indices of the windows that count at one of the pixels from `first` to before `last`."""
        found = [
            index
            for index, start in enumerate(self.starts)
            if start < last and start + self.size > first
        ]
        return range(found[0], found[-1] + 1)
