"""Whether a mask has the pixels of its image, and reading it there if it has others."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from keras_deeplab.data.files.orientation import orientation
from keras_deeplab.data.files.places import Grid, apply_transform, grid_of

if TYPE_CHECKING:
    from rasterio import DatasetReader
    from rasterio.vrt import WarpedVRT

GRID_TOLERANCE = 0.1  # pixels; larger shifts are not rounding errors of coordinates


def mask_grid(image: DatasetReader, mask: DatasetReader) -> tuple[str | None, Grid | None]:
    """How the pixels of an image and of its mask differ.

    Returns:
        `(problem, grid)`: why they do not fit each other, or `None`; and the `Grid` of the image
        if the mask must be warped to it, or `None` if both have the same pixels.
    """
    if not (_located(image) and _located(mask)):
        return _mismatch(image, mask), None
    if image.shape == mask.shape and image.crs == mask.crs and _shift(image, mask) is None:
        return None, None
    if not _overlap(image, mask):
        return (
            f"{image.name} and its mask {mask.name} cover different areas: {describe_grid(image)} "
            f"and {describe_grid(mask)}"
        ), None
    return None, grid_of(image)


def describe_grid(raster: DatasetReader) -> str:
    """Size, coordinate reference system and geotransform of an open raster."""
    return f"{raster.shape[::-1]} pixels in {raster.crs}, geotransform {raster.transform.to_gdal()}"


@contextlib.contextmanager
def warped(mask: DatasetReader, grid: Grid) -> Iterator[WarpedVRT]:
    """The pixels of an open mask on the grid of its image, by nearest neighbour.

    Yields:
        The open virtual raster. Where the mask does not reach, its pixels are not valid.
    """
    from rasterio.enums import ColorInterp, Resampling
    from rasterio.vrt import WarpedVRT

    alpha = [band for band, kind in enumerate(mask.colorinterp, 1) if kind == ColorInterp.alpha]
    with WarpedVRT(
        mask,
        crs=grid.crs,
        transform=grid.transform,
        width=grid.width,
        height=grid.height,
        resampling=Resampling.nearest,
        tolerance=1e-6,  # pixels: each place by itself, not interpolated between others
        **({"dst_alpha": alpha[0]} if alpha else {"add_alpha": True}),
    ) as virtual:
        yield virtual


def _located(raster: DatasetReader) -> bool:
    return raster.crs is not None and not raster.transform.is_identity


def _mismatch(image: DatasetReader, mask: DatasetReader) -> str | None:
    """How two rasters of which not both are located differ, or `None`."""
    seen, mask_seen = orientation(image), orientation(mask)
    if seen.shape != mask_seen.shape:
        return f"{image.name} is {seen}, its mask {mask.name} is {mask_seen}"
    if image.crs and mask.crs and image.crs != mask.crs:
        return f"{image.name} is in {image.crs}, its mask {mask.name} in {mask.crs}"
    if image.transform.is_identity or mask.transform.is_identity:
        return None  # one of them has no coordinates
    return _shift(image, mask)


def _shift(image: DatasetReader, mask: DatasetReader) -> str | None:
    to_ground, mask_to_ground = (np.reshape(r.transform, (3, 3)) for r in (image, mask))
    corners = np.array([[0, image.width, 0], [0, 0, image.height], [1, 1, 1]])
    shifts = np.linalg.solve(to_ground, mask_to_ground @ corners) - corners
    if np.abs(shifts).max() > GRID_TOLERANCE:
        return (
            f"{image.name} and its mask {mask.name} cover different areas: geotransforms "
            f"{image.transform.to_gdal()} and {mask.transform.to_gdal()}"
        )
    return None


def _overlap(image: DatasetReader, mask: DatasetReader) -> bool:
    """Whether the bounds of two located rasters have an area in common."""
    return _reaches(image, mask) or _reaches(mask, image)


def _reaches(first: DatasetReader, second: DatasetReader) -> bool:
    from rasterio.errors import RasterioError
    from rasterio.warp import transform_bounds

    try:
        bounds = transform_bounds(first.crs, second.crs, *_bounds(first))
    except RasterioError:  # its area is beyond what the other system describes
        return False
    left, bottom, right, top = bounds
    other_left, other_bottom, other_right, other_top = _bounds(second)
    return (
        all(map(math.isfinite, bounds))
        and max(left, other_left) < min(right, other_right)
        and max(bottom, other_bottom) < min(top, other_top)
    )


def _bounds(raster: DatasetReader) -> tuple[float, float, float, float]:
    """Left, bottom, right and top of a raster, rotated or not."""
    columns = np.array([0, raster.width, raster.width, 0])
    rows = np.array([0, 0, raster.height, raster.height])
    x, y = apply_transform(raster.transform, columns, rows)
    return x.min(), y.min(), x.max(), y.max()
