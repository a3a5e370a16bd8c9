"""A mask file as the labels of an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.files.masks import MaskCounts, count_labels, read_mask

if TYPE_CHECKING:
    import numpy as np
    from rasterio.windows import Window

    from keras_deeplab.data.files.places import Grid


class MaskFile(NamedTuple):
    """The labels of an image in a mask file.

    Attributes:
        path: The file.
        classes: Classes of its values.
        values: Label of each stored value, see `mask_values.value_labels`; `None` for class indices
            and colours.
        grid: `Grid` to warp it to, or `None` for its own pixels.
    """

    path: str
    classes: ClassTable
    values: Mapping[int, int] | None = None
    grid: Grid | None = None

    def read(self, window: Window | None) -> np.ndarray:
        """`(H, W)` uint8 class indices, 255 for ignored pixels, of a window or the whole image."""
        return read_mask(self.path, self.classes, window, values=self.values, grid=self.grid)

    def counts(self) -> MaskCounts:
        """Decodes the whole mask and counts its labels."""
        return count_labels(self.path, self.classes, values=self.values, grid=self.grid)
