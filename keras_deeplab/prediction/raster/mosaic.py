"""The grid of a scene: of one raster, or of several next to each other."""

from __future__ import annotations

import pathlib
import typing
from collections.abc import Sequence

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab.data.files.places import Grid, apply_transform, grid_of

if typing.TYPE_CHECKING:
    from rasterio import DatasetReader

ALIGNED = 0.01  # pixels that corners of rasters may be off the grid of a mosaic

PlacedRaster = tuple["DatasetReader", int, int]  # with row and column of its first pixel


def place_rasters(rasters: Sequence[DatasetReader]) -> tuple[list[PlacedRaster], Grid]:
    """Places open rasters on the grid of all of them.

    Raises:
        ValueError: When they are not of one grid.
    """
    first = rasters[0]
    if len(rasters) == 1:
        return [(first, 0, 0)], grid_of(first)
    corners = []
    for raster in rasters:
        corner = _corner(raster, first)
        if corner is None:
            raise InputError(_not_one_grid(rasters, raster))
        corners.append(corner)
    top, left = (min(each) for each in zip(*corners, strict=True))
    placed = [
        (raster, row - top, column - left)
        for raster, (row, column) in zip(rasters, corners, strict=True)
    ]
    height = max(row + raster.height for raster, row, _ in placed)
    width = max(column + raster.width for raster, _, column in placed)
    a, b, _, d, e, *_ = first.transform
    x, y = apply_transform(first.transform, left, top)
    transform = type(first.transform)(a, b, x, d, e, y)
    return placed, Grid(height, width, transform, first.crs)


def _corner(raster: DatasetReader, first: DatasetReader) -> tuple[int, int] | None:
    """Row and column of the first pixel of a raster on the grid of another; `None`: not on it."""
    if raster.gcps[0] or raster.crs != first.crs or raster.transform.is_identity:
        return None
    corners = np.array([(0, 0), (raster.width, raster.height), (raster.width, 0)])
    found = apply_transform(~first.transform, *apply_transform(raster.transform, *corners.T))
    places = np.stack(found, axis=-1)
    column, row = np.rint(places[0]).astype(int)
    if np.abs(places - corners - (column, row)).max() > ALIGNED:
        return None
    return int(row), int(column)


def _not_one_grid(rasters: Sequence[DatasetReader], other: DatasetReader) -> str:
    names, first = " ".join(pathlib.Path(raster.name).name for raster in rasters), rasters[0]
    if other.transform.is_identity:
        return (
            f"{other.name} has no geotransform that places it next to others: apply gdalwarp first "
            "if it has GCPs, or give --output a folder for one map each."
        )
    return (
        f"{other.name} and {first.name} are not of one grid (CRS, pixel size, alignment). "
        f"Join them first: gdalbuildvrt -r bilinear mosaic.vrt {names}, after gdalwarp "
        "where the CRS differs; or give --output a folder for one map each."
    )
