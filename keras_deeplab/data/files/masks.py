"""Mask files as label maps."""

import numpy as np
from rasterio.enums import ColorInterp, Compression

from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.data.files.rasters import (
    band_listing,
    blocks,
    open_raster,
    palette,
    valid_pixels,
)


def mask_problem(raster):
    """Why an open raster cannot be a mask whatever its values, or `None`."""
    if raster.compression == Compression.jpeg:  # of JPEG files, and inside TIFF
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
            f"{raster.name} is {dtype}: a mask holds integers, colours in 8 bits. Convert it, for "
            "example with gdal_translate -ot Byte"
        )
    return None


def read_mask(path, classes, window=None):
    """Reads a mask or a window of it.

    Args:
        path: Mask file: class indices, or colours (RGB or palette) when `classes` has a palette.
        classes: `ClassTable`.
        window: `rasterio.windows.Window`, or `None` for the whole mask.

    Returns:
        `(H, W)` uint8 class indices; 255 for ignored pixels and where the file declares no data.

    Raises:
        ValueError: Names the file and the values that are in no class.
        UnreadableFileError: Names a file that cannot be opened or is damaged.
    """
    with open_raster(path) as raster:
        return _decode(raster, classes, window)


def check_mask(path, classes):
    """Decodes a mask file in blocks, for the errors of `read_mask`."""
    with open_raster(path) as raster:
        for window in blocks(raster):
            _decode(raster, classes, window)


def _decode(raster, classes, window):
    bands = _value_bands(raster)
    values = np.moveaxis(raster.read(bands, window=window), 0, -1)
    values = values[..., 0] if len(bands) == 1 else values
    valid = valid_pixels(raster, bands, window)
    colors = palette(raster)
    if classes.palette is not None and colors is not None:
        values = colors[values]
    if valid is not None:
        # What stands where there is no data need not be in any class: the first one passes.
        values[~valid] = classes.palette[0] if values.ndim == 3 and classes.palette else 0
    origin = (0, 0) if window is None else (window.row_off, window.col_off)
    label = classes.decode(values, where=raster.name, origin=origin)
    if valid is not None:
        label[~valid] = IGNORE_INDEX
    return label


def _value_bands(raster):
    return [
        band
        for band, color in zip(raster.indexes, raster.colorinterp, strict=True)
        if color != ColorInterp.alpha
    ]
