"""Reading mask files as label maps."""

import numpy as np
from rasterio import DatasetReader
from rasterio.enums import ColorInterp, Compression
from rasterio.windows import Window

from keras_deeplab._internal.files import StrPath
from keras_deeplab.data.class_table import IGNORE_INDEX, ClassTable
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
        path: Mask file: class indices, or colours (RGB or palette) when `classes` has a palette.
        classes: Classes of the values.
        window: The window, or `None` for the whole mask.

    Returns:
        `(H, W)` uint8 class indices; 255 for ignored pixels and nodata.

    Raises:
        ValueError: Names the file and the values that are not in the class table.
        UnreadableFileError: When the file cannot be opened or is damaged.
    """
    with open_raster(path) as raster:
        return _decode(raster, classes, window)


def check_mask(path: StrPath, classes: ClassTable) -> None:
    """Decodes a mask file in blocks and raises the errors of `read_mask`."""
    with open_raster(path) as raster:
        for window in blocks(raster):
            _decode(raster, classes, window)


def _decode(raster: DatasetReader, classes: ClassTable, window: Window | None) -> np.ndarray:
    bands = _value_bands(raster)
    values = np.moveaxis(raster.read(bands, window=window), 0, -1)
    values = values[..., 0] if len(bands) == 1 else values
    valid = valid_pixels(raster, bands, window)
    colors = palette(raster)
    if classes.palette is not None and colors is not None:
        values = colors[values]
    if valid is not None:
        # Values of nodata pixels need not be in the table: replace them by the first class.
        values[~valid] = classes.palette[0] if values.ndim == 3 and classes.palette else 0
    origin = (0, 0) if window is None else (window.row_off, window.col_off)
    label = classes.decode(values, where=raster.name, origin=origin)
    if valid is not None:
        label[~valid] = IGNORE_INDEX
    return label


def _value_bands(raster: DatasetReader) -> list[int]:
    return [
        band
        for band, color in zip(raster.indexes, raster.colorinterp, strict=True)
        if color != ColorInterp.alpha
    ]
