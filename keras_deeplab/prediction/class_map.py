"""Class maps as files: palette PNG, or GeoTIFF with the georeference of the image."""

from __future__ import annotations

import pathlib
import typing

import numpy as np
from PIL import Image

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath, atomic_write
from keras_deeplab.data.class_table import IGNORE_INDEX, ClassTable
from keras_deeplab.data.drawing import IGNORED_COLOR, class_colors
from keras_deeplab.data.files.rasters import open_raster

if typing.TYPE_CHECKING:
    from rasterio import DatasetReader

GEOTIFF = (".tif", ".tiff")
SUFFIXES = (".png", *GEOTIFF)


def check_target(path: StrPath) -> None:
    """Raises a `ValueError` for a file format that cannot hold a class map."""
    if pathlib.Path(path).suffix.lower() not in SUFFIXES:
        raise InputError(
            f"{path}: a class map is written as {', '.join(SUFFIXES)}; other formats blur or lack "
            "class indices."
        )


def write_class_map(path: StrPath, labels: np.ndarray, classes: ClassTable, like: StrPath) -> None:
    """Writes class indices with their colours, atomically.

    Args:
        path: Target: `.png`, or `.tif` with CRS, transform or GCPs of the image, and nodata 255.
        labels: `(H, W)` uint8 class indices; 255 where there is no data.
        classes: `ClassTable`.
        like: The image that the map is of.

    Raises:
        ValueError: For another suffix.
    """
    check_target(path)
    colors = np.full((IGNORE_INDEX + 1, 3), 0, np.uint8)
    colors[: len(classes)] = class_colors(classes)
    colors[IGNORE_INDEX] = IGNORED_COLOR
    with atomic_write(path) as temporary:
        if pathlib.Path(path).suffix.lower() in GEOTIFF:
            with open_raster(like) as image:
                _write_geotiff(temporary, labels, colors, image)
        else:
            picture = Image.fromarray(labels).convert("P")
            picture.putpalette(colors.tobytes())
            picture.save(temporary)


def _write_geotiff(
    path: pathlib.Path, labels: np.ndarray, colors: np.ndarray, image: DatasetReader
) -> None:
    import rasterio

    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": IGNORE_INDEX}
    height, width = labels.shape
    gcps, gcps_crs = image.gcps
    if gcps:
        profile |= {"gcps": gcps, "crs": gcps_crs}
    elif not image.transform.is_identity:
        profile |= {"transform": image.transform, "crs": image.crs}
    with rasterio.open(
        path, "w", height=height, width=width, compress="deflate", **profile
    ) as target:
        target.write(labels, 1)
        target.write_colormap(
            1, {value: tuple(color) for value, color in enumerate(colors.tolist())}
        )
