"""Areas and pixel sizes on the ground, whatever the coordinate reference system of a scene."""

from __future__ import annotations

import functools
import typing

import numpy as np

from keras_deeplab.prediction.raster.mosaic import Grid, apply_transform

CELL = 256  # pixels a side at most; within a cell every pixel counts the same area


class Ground:
    """Places of a scene on the ellipsoid WGS 84.

    Args:
        grid: `Grid` that is georeferenced.
    """

    def __init__(self, grid: Grid) -> None:
        import pyproj
        from rasterio.transform import GCPTransformer

        self._grid = grid
        self._geod = pyproj.Geod(ellps="WGS84")
        crs = pyproj.CRS.from_user_input(grid.crs)
        self._project = pyproj.Transformer.from_crs(crs, "EPSG:4979", always_xy=True).transform
        self._gcps = GCPTransformer(list(grid.gcps)) if grid.gcps else None

    def area(self, top: float, bottom: float, left: float, right: float) -> float:
        """Square metres of a rectangle of pixels: of the geodesic polygon of its corners."""
        columns = np.array([left, right, right, left], float)
        rows = np.array([top, top, bottom, bottom], float)
        if self._gcps is not None:
            x, y = self._gcps.xy(rows, columns, offset="ul")
        else:
            x, y = apply_transform(self._grid.transform, columns, rows)
        longitude, latitude = self._project(np.asarray(x), np.asarray(y))[:2]
        return abs(self._geod.polygon_area_perimeter(longitude, latitude)[0])

    @functools.cached_property
    def resolution_m(self) -> float:
        """Metres on the ground per pixel at the centre of the scene, the mean of both axes."""
        row, column = self._grid.height / 2, self._grid.width / 2
        return self.area(row - 0.5, row + 0.5, column - 0.5, column + 0.5) ** 0.5


def ground_of(grid: Grid) -> Ground | None:
    """`Ground` of a grid; `None` where places on the ground are unknown."""
    import pyproj

    if not grid.georeferenced:
        return None
    try:
        ground = Ground(grid)
        known = np.isfinite(ground.resolution_m) and ground.resolution_m > 0
    except pyproj.exceptions.ProjError:  # a local or engineering system
        return None
    return ground if known else None


class ClassAreas:
    """Pixels and square metres of each class, added up part by part.

    Args:
        classes: Number of classes.
        ground: `Ground` of the scene, or `None`.
    """

    def __init__(self, classes: int, ground: Ground | None) -> None:
        self.pixels = np.zeros(classes, np.int64)
        self.square_metres = np.zeros(classes)
        self._ground = ground

    def add(self, labels: np.ndarray, top: int, left: int) -> None:
        """Adds class indices `(H, W)` uint8, 255 without data, whose first pixel this is."""
        height, width = labels.shape
        for row in range(0, height, CELL):
            for column in range(0, width, CELL):
                cell = labels[row : row + CELL, column : column + CELL]
                counts = np.bincount(cell.ravel(), minlength=256)[: len(self.pixels)]
                self.pixels += counts
                if self._ground is not None and counts.any():
                    first, start = top + row, left + column
                    area = self._ground.area(
                        first, first + cell.shape[0], start, start + cell.shape[1]
                    )
                    self.square_metres += counts * (area / cell.size)

    def record(self, names: typing.Sequence[str]) -> list[dict[str, typing.Any]]:
        """A dict for each class: `name`, `pixels`, `share`, and `hectares` or `None`."""
        total = max(int(self.pixels.sum()), 1)
        known = self._ground is not None and np.isfinite(self.square_metres).all()
        return [
            {
                "name": name,
                "pixels": int(pixels),
                "share": int(pixels) / total,
                "hectares": float(self.square_metres[i] / 1e4) if known else None,
            }
            for i, (name, pixels) in enumerate(zip(names, self.pixels, strict=True))
        ]
