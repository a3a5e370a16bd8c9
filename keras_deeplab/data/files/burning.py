"""Polygons burnt into windows of an image."""

from __future__ import annotations

import typing
from collections.abc import Sequence

import numpy as np

from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.data.files.rasters import without_georeference_warning

if typing.TYPE_CHECKING:
    from rasterio import Affine
    from rasterio.windows import Window


class Burner:
    """Polygons that are burnt into windows of an image, later ones over earlier ones.

    A pixel belongs to a polygon that its centre is in, as GDAL decides it.

    Args:
        polygons: Shapely polygons and multipolygons in pixels of the image; x is the column.
        values: The value of each, 0 to 255.
        all_touched: Whether all pixels that a polygon touches belong to it.
    """

    def __init__(
        self, polygons: np.ndarray, values: Sequence[int] | np.ndarray, *, all_touched: bool = False
    ) -> None:
        import shapely

        self._all_touched = all_touched
        self._values = np.asarray(values, np.uint8)
        self._polygons = polygons
        self._tree = shapely.STRtree(polygons)

    def burn(self, window: Window, fill: int) -> np.ndarray:
        """`(H, W)` uint8 of a window of whole pixels: `fill` where no polygon is."""
        import shapely
        from rasterio import Affine
        from rasterio.features import rasterize

        left, top = window.col_off, window.row_off
        # One pixel more, because of polygons that only touch pixels.
        box = shapely.box(left - 1, top - 1, left + window.width + 1, top + window.height + 1)
        found = np.sort(self._tree.query(box))
        label = np.full((window.height, window.width), fill, np.uint8)
        if len(found):
            with without_georeference_warning():  # of rasterio, at the first call of some processes
                rasterize(
                    ((self._polygons[index], int(self._values[index])) for index in found),
                    out=label,
                    transform=Affine.translation(left, top),
                    all_touched=self._all_touched,
                )
        return label


class BurntLabels(typing.NamedTuple):
    """The `LabelProvider` of polygons over an image.

    Attributes:
        path: The file of the polygons.
        classes: `Burner` of class indices, or 255.
        fill: Label of other ground.
        area: `Burner` of 1 for labelled ground, outside of which labels are ignored; or `None`.
    """

    path: str
    classes: Burner
    fill: int
    area: Burner | None = None

    def read(self, window: Window) -> np.ndarray:
        """`(H, W)` uint8 class indices of a window, 255 for ignored pixels."""
        label = self.classes.burn(window, self.fill)
        if self.area is not None:
            label[self.area.burn(window, 0) == 0] = IGNORE_INDEX
        return label


def in_pixels(polygons: np.ndarray, transform: Affine) -> np.ndarray:
    """Polygons in pixels of an image, by the transform from (column, row) to their coordinates."""
    import shapely

    origin = np.array([transform.c, transform.f])
    inverse = np.linalg.inv([[transform.a, transform.b], [transform.d, transform.e]])
    # Relative to the first pixel: coordinates may be large compared with pixels.
    return shapely.transform(polygons, lambda xy: (xy - origin) @ inverse.T)
