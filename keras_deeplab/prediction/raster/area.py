"""The pixels of a scene that are within polygons, found tile by tile in bounded memory."""

from __future__ import annotations

import functools
import hashlib
import math
import typing
from collections.abc import Iterator

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab.prediction.raster.boxes import Box, block_parts

if typing.TYPE_CHECKING:
    from shapely import Polygon, STRtree

TILE = 512  # pixels a side
TILES = 1024  # in memory, 32 kB each
STRIPS = 4  # rows of tiles whose polygons are in memory
STEPS = 1024  # of coordinates in a pixel: equal hashes mean equal pixels
_FULL = np.full((TILE, TILE // 8), 255, np.uint8)


class OutsideAreaError(InputError):
    """A scene without a pixel in the area of interest."""


class Area:
    """The pixels whose centres are within polygons.

    A pixel is found with the same tile each time, so the result does not depend on the part of the
    scene that is asked for. Thread-safe.

    Args:
        polygons: Valid shapely polygons in pixels of the scene: x is 0 at its left, y at its upper
            edge. They may overlap.
        size: `(height, width)` of the scene.

    Attributes:
        box: `Box` of whole pixels around the polygons, within the scene.
        sha256: Hash of the polygons within the scene, whatever their order.

    Raises:
        OutsideAreaError: When they have no pixel of the scene.
    """

    def __init__(self, polygons: np.ndarray, size: tuple[int, int]) -> None:
        import shapely

        polygons = _clipped(polygons, Box(0, size[0], 0, size[1]))
        polygons = _parts(shapely.set_precision(polygons, 1 / STEPS))
        self.box = _pixel_box(polygons)
        texts = shapely.to_wkb(shapely.normalize(polygons))
        self.sha256 = hashlib.sha256(b"".join(sorted(texts))).hexdigest()
        self._tree = shapely.STRtree(polygons)
        self._strip = functools.lru_cache(STRIPS)(self._find_strip)
        self._tile = functools.lru_cache(TILES)(self._find_tile)
        if not self.touches(self.box):
            raise OutsideAreaError("The area has no pixel of the scene.")

    def inside(self, top: int, left: int, size: tuple[int, int]) -> np.ndarray:
        """Which pixels of a part of the scene are within, `(height, width)` bool."""
        mask = np.zeros(size, bool)
        for part, pixels in self._overlaps(Box(top, top + size[0], left, left + size[1])):
            rows = slice(int(part.top) - top, int(part.bottom) - top)
            mask[rows, int(part.left) - left : int(part.right) - left] = pixels
        return mask

    def touches(self, box: Box) -> bool:
        """Whether one of the pixels of a box is within."""
        return any(np.any(pixels) for _, pixels in self._overlaps(box))

    @functools.cached_property
    def pixels(self) -> int:
        """Number of pixels within."""
        return sum(int(pixels.sum()) for _, pixels in self._overlaps(self.box))

    def _overlaps(self, box: Box) -> Iterator[tuple[Box, np.ndarray]]:
        """The parts of a box in tiles that have pixels within; which these are."""
        box = Box(
            max(math.floor(box.top), self.box.top),
            min(math.ceil(box.bottom), self.box.bottom),
            max(math.floor(box.left), self.box.left),
            min(math.ceil(box.right), self.box.right),
        )
        if box.top >= box.bottom or box.left >= box.right:
            return
        for part in block_parts(box, (TILE, TILE)):
            top, bottom, left, right = map(int, part)
            row, column = top // TILE, left // TILE
            tile = self._tile(row, column)
            if tile is None:
                continue
            y, x = row * TILE, column * TILE
            pixels = np.unpackbits(tile, axis=1).view(bool)
            yield part, pixels[top - y : bottom - y, left - x : right - x]

    def _find_tile(self, row: int, column: int) -> np.ndarray | None:
        """The pixels of a tile, packed; `None` where none are within."""
        import shapely
        from rasterio import Affine
        from rasterio.features import rasterize

        top, left = row * TILE, column * TILE
        frame = _frame(Box(top, top + TILE, left, left + TILE))
        tree = self._strip(row)
        found = tree.geometries[tree.query(frame, predicate="intersects")]
        if not len(found):
            return None
        if shapely.covers(found, frame).any():
            return _FULL
        pixels = rasterize(
            found, (TILE, TILE), transform=Affine.translation(left, top), dtype=np.uint8
        )
        return np.packbits(pixels, axis=1) if pixels.any() else None

    def _find_strip(self, row: int) -> STRtree:
        """The polygons of a row of tiles: in each tile only these few are gone through."""
        import shapely

        strip = Box(row * TILE, (row + 1) * TILE, self.box.left, self.box.right)
        found = self._tree.geometries[self._tree.query(_frame(strip))]
        parts = _clipped(found, strip)
        shapely.prepare(parts)
        return shapely.STRtree(parts)


def _clipped(polygons: np.ndarray, box: Box) -> np.ndarray:
    """The parts of polygons that are in a box."""
    import shapely

    frame = _frame(box)
    whole = shapely.covers(frame, polygons)
    cut = shapely.intersection(polygons[~whole], frame)
    return _parts(np.concatenate([polygons[whole], cut]))


def _parts(geometries: np.ndarray) -> np.ndarray:
    """The simple polygons of geometries, without points and lines."""
    import shapely

    parts = shapely.get_parts(shapely.get_parts(geometries))
    return parts[shapely.area(parts) > 0]


def _frame(box: Box) -> Polygon:
    import shapely

    return shapely.box(box.left, box.top, box.right, box.bottom)


def _pixel_box(polygons: np.ndarray) -> Box:
    """The box of whole pixels around the pixels that polygons may have; empty if there are none."""
    import shapely

    left, top, right, bottom = shapely.bounds(polygons).T
    first, last = np.ceil([top - 0.5, left - 0.5]), np.floor([bottom + 0.5, right + 0.5])
    some = (first < last).all(axis=0)
    if not some.any():
        return Box(0, 0, 0, 0)
    (top, left), (bottom, right) = first[:, some].min(axis=1), last[:, some].max(axis=1)
    return Box(int(top), int(bottom), int(left), int(right))
