"""The area of interest of a scene, from a vector file."""

from __future__ import annotations

import functools
import os
import pathlib

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab.data.files.places import Grid, PixelTransform
from keras_deeplab.data.files.polygon_files import read_polygons
from keras_deeplab.data.files.reprojection import map_polygons
from keras_deeplab.prediction.raster.area import Area, OutsideAreaError

TOLERANCE = 0.1  # pixels that an edge may be off its curve


def read_area(path: StrPath, grid: Grid, *, scene: str, layer: str | None = None) -> Area:
    """Reads the polygons of a vector file as the `Area` of a scene.

    Args:
        path: File that OGR reads, in any CRS.
        grid: `Grid` of the scene.
        scene: What to call it in errors.
        layer: Name of the layer; needed where several have geometries.

    Raises:
        ValueError: When the scene has no CRS, or the file no polygons.
        OutsideAreaError: When the polygons have no pixel of the scene.
    """
    import pyproj
    import shapely

    if not grid.georeferenced:
        raise InputError(
            f"{scene} has no CRS or no transform, so that {path} has no place in it: georeference "
            "it first, for example with rio edit-info --crs EPSG:... --transform ..."
        )
    transform = PixelTransform(grid)
    pixel = _pixel_size(grid, transform)
    crs = pyproj.CRS.from_user_input(grid.crs)
    tolerance = float(f"{TOLERANCE * pixel:.1g}")  # equal for scenes of nearly equal pixels
    polygons = _polygons(os.fspath(path), crs.to_wkt(), tolerance, layer, _stamp(path))

    def to_pixels(coordinates: np.ndarray) -> np.ndarray:
        return np.stack(transform.positions(*coordinates.T), axis=-1)

    placed = map_polygons(polygons, to_pixels, TOLERANCE)
    invalid = ~shapely.is_valid(placed)  # by rounding
    placed[invalid] = shapely.make_valid(placed[invalid], method="structure", keep_collapsed=False)
    try:
        return Area(placed, (grid.height, grid.width))
    except OutsideAreaError:
        extents = _extent(shapely.total_bounds(polygons)), _extent(_scene_bounds(grid, transform))
        raise OutsideAreaError(
            f"{path} has no pixel of {scene}: in {crs.name} the area is "
            f"{extents[0]}, the scene {extents[1]}."
        ) from None


@functools.lru_cache(2)  # of the files: many scenes have one area, and are opened twice
def _polygons(
    path: str, crs: str, tolerance: float, layer: str | None, stamp: tuple[int, int] | None
) -> np.ndarray:
    return read_polygons(path, crs, tolerance=tolerance, layer=layer).geometries


def _stamp(path: StrPath) -> tuple[int, int] | None:
    """Changes with a file; `None` for an address."""
    file = pathlib.Path(path)
    return (file.stat().st_mtime_ns, file.stat().st_size) if file.exists() else None


def _pixel_size(grid: Grid, transform: PixelTransform) -> float:
    """The shorter side of the pixel at the centre of a scene, in units of its CRS."""
    columns = grid.width / 2 + np.array([0.0, 1, 0])
    rows = grid.height / 2 + np.array([0.0, 0, 1])
    x, y = transform.coordinates(columns, rows)
    return float(np.hypot(x[1:] - x[0], y[1:] - y[0]).min())


def _scene_bounds(grid: Grid, transform: PixelTransform) -> np.ndarray:
    """Left, bottom, right and top of a scene in its CRS."""
    columns, rows = np.array([(0, 0), (1, 0), (0, 1), (1, 1)]).T * [[grid.width], [grid.height]]
    x, y = transform.coordinates(columns.astype(float), rows.astype(float))
    return np.array([x.min(), y.min(), x.max(), y.max()])


def _extent(bounds: np.ndarray) -> str:
    left, bottom, right, top = bounds
    return f"x {left:.8g} to {right:.8g}, y {bottom:.8g} to {top:.8g}"
