"""Reading mask files as label maps."""

import functools
import os

import numpy as np
from rasterio import DatasetReader
from rasterio.enums import ColorInterp, Compression
from rasterio.windows import Window

from keras_deeplab._internal.files import StrPath
from keras_deeplab.data.class_table import IGNORE_INDEX, ClassTable
from keras_deeplab.data.files.grey_masks import (
    GREYS,
    Greys,
    are_greys,
    decode_greys,
    grey_labels,
    has_only_greys,
    refuse_ambiguous,
)
from keras_deeplab.data.files.orientation import orientation
from keras_deeplab.data.files.rasters import (
    band_listing,
    blocks,
    open_raster,
    palette,
    valid_pixels,
)


def mask_problem(raster: DatasetReader) -> str | None:
    """Why the format of an open raster is not valid for a mask, or `None`."""
    if raster.compression == Compression.jpeg:  # JPEG files, and JPEG in TIFF
        return (
            f"{raster.name} is a JPEG: its compression blurs class values. Export the mask as PNG "
            "or TIFF"
        )
    bands = _value_bands(raster)
    if len(bands) not in (1, 3):
        return (
            f"{raster.name} has bands {band_listing(raster)}: a mask has one band of class indices "
            "or three of colours"
        )
    dtype = np.dtype(raster.dtypes[0])
    if dtype.kind not in "iu" or (len(bands) == 3 and dtype != np.uint8):
        return (
            f"{raster.name} is {dtype}: a mask needs integers, and 8 bits for colours. Convert it, "
            "for example with gdal_translate -ot Byte"
        )
    return None


def read_mask(path: StrPath, classes: ClassTable, window: Window | None = None) -> np.ndarray:
    """Reads a mask or a window of it.

    Args:
        path: Mask file: class indices, or colours when `classes` has a palette: RGB, a palette, or
            grey values as `grey_masks` says. Its orientation is applied.
        classes: Classes of the values.
        window: The window of the turned mask, or `None` for the whole mask.

    Returns:
        `(H, W)` uint8 class indices; 255 for ignored pixels and nodata.

    Raises:
        ValueError: Names the file and the values that are not in the class table.
        UnreadableFileError: When the file cannot be opened or is damaged.
    """
    with open_raster(path) as raster:
        return _decode(raster, classes, window)


def count_labels(path: StrPath, classes: ClassTable) -> np.ndarray:
    """Decodes a mask file in blocks and raises the errors of `read_mask`.

    Returns:
        `(256,)` int64: how many pixels have each label.
    """
    counts = np.zeros(IGNORE_INDEX + 1, np.int64)
    with open_raster(path) as raster:
        for window in blocks(orientation(raster).shape):
            label = _decode(raster, classes, window)
            counts += np.bincount(label.ravel(), minlength=IGNORE_INDEX + 1)
    return counts


def _decode(raster: DatasetReader, classes: ClassTable, window: Window | None) -> np.ndarray:
    values, valid = _read(raster, window)
    colors = _palette(raster)
    if classes.palette is not None and colors is not None:
        values = colors[values]
    greys = None
    if classes.palette is not None and values.ndim == 2:
        greys = _greys(raster, classes, values if valid is None else values[valid])
    origin = (0, 0) if window is None else (window.row_off, window.col_off)
    if valid is not None:
        # Values of nodata pixels need not be in the table: replace them by one that is.
        values[~valid] = _any_value(classes, greys, values.ndim)
    if greys is None:
        label = classes.decode(values, where=raster.name, origin=origin)
    else:
        label = decode_greys(values, greys, where=raster.name, origin=origin)
    if valid is not None:
        label[~valid] = IGNORE_INDEX
    return label


def _any_value(
    classes: ClassTable, greys: Greys | None, dimensions: int
) -> int | tuple[int, int, int]:
    """A value that `classes` or `greys` decode."""
    if greys is not None:
        return next(iter(greys))
    return classes.palette[0] if classes.palette is not None and dimensions == 3 else 0


def _read(raster: DatasetReader, window: Window | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Stored values `(H, W)` or `(H, W, 3)`, and which pixels are valid, `None` for all."""
    seen = orientation(raster)
    window = seen.stored_window(window)
    bands = _value_bands(raster)
    values = np.moveaxis(raster.read(bands, window=window), 0, -1)
    values = values[..., 0] if len(bands) == 1 else values
    valid = valid_pixels(raster, bands, window)
    return seen.turn(values), None if valid is None else seen.turn(valid)


def _palette(raster: DatasetReader) -> np.ndarray | None:
    """The palette of a raster, unless it is the 256 greys that BMP files of one band have."""
    colors = palette(raster)
    if colors is not None and len(raster.colormap(1)) == 256 and (colors[:256] == GREYS).all():
        return None
    return colors


def _greys(raster: DatasetReader, classes: ClassTable, values: np.ndarray) -> Greys | None:
    """The greys that the values of a mask of one band are; `None` if they are class indices."""
    greys = grey_labels(raster, classes)
    if has_only_greys(classes):
        return greys
    if not greys or not are_greys(values, greys):
        return None
    # By the whole file, so that its windows are read alike.
    modified = os.stat(raster.name).st_mtime_ns
    return greys if _file_has_greys(raster.name, modified, classes) else None


@functools.lru_cache(maxsize=1024)
def _file_has_greys(path: str, modified: int, classes: ClassTable) -> bool:
    """Whether all values of a mask file are greys of the class table.

    Raises:
        ValueError: When they can be class indices as well.
    """
    found: set[int] = set()
    with open_raster(path) as raster:
        greys = grey_labels(raster, classes)
        for window in blocks(orientation(raster).shape):
            values, valid = _read(raster, window)
            values = values if valid is None else values[valid]
            if not are_greys(values, greys):
                return False
            found.update(np.unique(values).tolist())
    refuse_ambiguous(found, greys, classes, path)
    return True


def _value_bands(raster: DatasetReader) -> list[int]:
    return [
        band
        for band, color in zip(raster.indexes, raster.colorinterp, strict=True)
        if color != ColorInterp.alpha
    ]
