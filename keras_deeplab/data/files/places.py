"""Where the pixels of a raster are on the ground, whatever its coordinate reference system."""

from __future__ import annotations

import dataclasses
import functools
import typing

import numpy as np

if typing.TYPE_CHECKING:
    from rasterio import Affine, DatasetReader
    from rasterio.control import GroundControlPoint
    from rasterio.crs import CRS

CELL = 256  # pixels a side at most of a part of a raster whose pixels count the same area


@dataclasses.dataclass(frozen=True)
class Grid:
    """Where the pixels of a scene are.

    Args:
        height: Rows.
        width: Columns.
        transform: Affine transform from (column, row) to coordinates; identity where unknown.
        crs: Coordinate reference system, or `None`.
        gcps: Ground control points instead of a transform, in `crs`.
    """

    height: int
    width: int
    transform: Affine
    crs: CRS | None
    gcps: tuple[GroundControlPoint, ...] = ()

    @property
    def georeferenced(self) -> bool:
        """Whether places on the ground are known."""
        return bool(self.gcps) or (self.crs is not None and not self.transform.is_identity)

    def cropped(self, top: int, bottom: int, left: int, right: int) -> Grid:
        """The grid of some rows and columns, from the first to before the last."""
        from rasterio.control import GroundControlPoint

        a, b, _, d, e, *_ = self.transform
        x, y = apply_transform(self.transform, left, top)
        transform = self.transform if self.gcps else type(self.transform)(a, b, x, d, e, y)
        gcps = tuple(
            GroundControlPoint(
                point.row - top, point.col - left, point.x, point.y, point.z, point.id, point.info
            )
            for point in self.gcps
        )
        return Grid(bottom - top, right - left, transform, self.crs, gcps)


def grid_of(raster: DatasetReader) -> Grid:
    """The `Grid` of an open raster."""
    gcps, gcps_crs = raster.gcps
    crs = gcps_crs if gcps else raster.crs
    return Grid(raster.height, raster.width, raster.transform, crs, tuple(gcps))


class PixelTransform:
    """Between the pixels of a scene and its CRS: its affine transform, or that of its GCPs.

    Columns and rows are positions: 0 at the outer edge of the first pixel, 0.5 at its centre.

    Args:
        grid: `Grid` that is georeferenced.
    """

    def __init__(self, grid: Grid) -> None:
        from rasterio.transform import GCPTransformer

        self._affine = grid.transform
        self._gcps = GCPTransformer(list(grid.gcps)) if grid.gcps else None

    def coordinates(self, columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates `(x, y)` of positions."""
        if self._gcps is None:
            return apply_transform(self._affine, columns, rows)
        x, y = self._gcps.xy(rows, columns, offset="ul")
        return np.asarray(x), np.asarray(y)

    def positions(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions `(columns, rows)` of coordinates."""
        if self._gcps is None:
            return apply_transform(~self._affine, x, y)
        rows, columns = self._gcps.rowcol(x, y, op=np.positive)  # not rounded
        return np.asarray(columns), np.asarray(rows)


class Places:
    """Places of a scene on the ellipsoid WGS 84.

    Args:
        grid: `Grid` that is georeferenced.
    """

    def __init__(self, grid: Grid) -> None:
        import pyproj

        self._grid = grid
        self._geod = pyproj.Geod(ellps="WGS84")
        crs = pyproj.CRS.from_user_input(grid.crs)
        self._project = pyproj.Transformer.from_crs(crs, "EPSG:4979", always_xy=True).transform
        self._pixels = PixelTransform(grid)

    def area(self, top: float, bottom: float, left: float, right: float) -> float:
        """Square metres of a rectangle of pixels: of the geodesic polygon of its corners."""
        columns = np.array([left, right, right, left], float)
        rows = np.array([top, top, bottom, bottom], float)
        longitude, latitude = self._project(*self._pixels.coordinates(columns, rows))[:2]
        return abs(self._geod.polygon_area_perimeter(longitude, latitude)[0])

    @functools.cached_property
    def resolution_m(self) -> float:
        """Metres on the ground per pixel at the centre of the scene, the mean of both axes."""
        row, column = self._grid.height / 2, self._grid.width / 2
        return self.area(row - 0.5, row + 0.5, column - 0.5, column + 0.5) ** 0.5


def places_of(grid: Grid) -> Places | None:
    """`Places` of a grid; `None` where places on the ground are unknown."""
    import pyproj

    if not grid.georeferenced:
        return None
    try:
        places = Places(grid)
        known = np.isfinite(places.resolution_m) and places.resolution_m > 0
    except pyproj.exceptions.ProjError:  # a local or engineering system
        return None
    return places if known else None


def apply_transform(transform: Affine, columns: typing.Any, rows: typing.Any) -> tuple:
    """Coordinates `(x, y)` of columns and rows, numbers or arrays.

    Affine's own operator is `*` in version 2 and `@` in later ones.
    """
    a, b, c, d, e, f, *_ = transform
    return a * columns + b * rows + c, d * columns + e * rows + f
