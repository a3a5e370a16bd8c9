"""Reading mask files as label maps."""

import functools
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from rasterio import DatasetReader
from rasterio.enums import ColorInterp, Compression
from rasterio.windows import Window

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab.data.class_table import IGNORE_INDEX, ClassTable
from keras_deeplab.data.files.alignment import warped
from keras_deeplab.data.files.grey_masks import (
    GREYS,
    Greys,
    are_greys,
    decode_greys,
    grey_labels,
    has_only_greys,
    refuse_ambiguous,
)
from keras_deeplab.data.files.mask_values import decode_values
from keras_deeplab.data.files.orientation import orientation
from keras_deeplab.data.files.places import Grid
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


def read_mask(
    path: StrPath,
    classes: ClassTable,
    window: Window | None = None,
    *,
    values: Mapping[int, int] | None = None,
    grid: Grid | None = None,
) -> np.ndarray:
    """Reads a mask or a window of it.

    Args:
        path: Mask file: class indices, or colours when `classes` has a palette: RGB, a palette, or
            grey values as `grey_masks` says. Its orientation is applied.
        classes: Classes of the values.
        window: The window of the turned mask, or `None` for the whole mask.
        values: Label of each stored value, see `mask_values.value_labels`; `None` for indices and
            colours.
        grid: `Grid` to warp the mask to by nearest neighbour, or `None` for its own pixels.

    Returns:
        `(H, W)` uint8 class indices; 255 for ignored pixels, nodata, and where a warped mask does
        not reach.

    Raises:
        ValueError: Names the file and the values that are not in the class table.
        UnreadableFileError: When the file cannot be opened or is damaged.
    """
    with open_raster(path) as raster:
        label, valid = _decode(raster, classes, window, values, grid)
    if valid is not None:
        label[~valid] = IGNORE_INDEX
    return label


class MaskCounts(NamedTuple):
    """What a mask holds.

    Attributes:
        labels: `(256,)` int64: how many pixels have each label.
        stored_ignored: How many of those that are ignored have the stored index 255.
    """

    labels: np.ndarray
    stored_ignored: int


def count_labels(
    path: StrPath,
    classes: ClassTable,
    *,
    values: Mapping[int, int] | None = None,
    grid: Grid | None = None,
) -> MaskCounts:
    """Decodes a mask file in blocks and raises the errors of `read_mask`."""
    counts, stored = np.zeros(IGNORE_INDEX + 1, np.int64), 0
    with open_raster(path) as raster:
        shape = orientation(raster).shape if grid is None else (grid.height, grid.width)
        for window in blocks(shape):
            label, valid = _decode(raster, classes, window, values, grid)
            if values is None and classes.palette is None:
                stored += int(((label if valid is None else label[valid]) == IGNORE_INDEX).sum())
            if valid is not None:
                label[~valid] = IGNORE_INDEX
            counts += np.bincount(label.ravel(), minlength=IGNORE_INDEX + 1)
    return MaskCounts(counts, stored)


def stored_values(path: StrPath) -> set[int]:
    """The valid values of a mask file of one band; empty for a mask of colours."""
    found: set[int] = set()
    with open_raster(path) as raster:
        for window in blocks(orientation(raster).shape):
            values, valid = _read(raster, window)
            if values.ndim != 2:
                return set()
            found.update(np.unique(values if valid is None else values[valid]).tolist())
    return found


def _decode(
    raster: DatasetReader,
    classes: ClassTable,
    window: Window | None,
    labels: Mapping[int, int] | None,
    grid: Grid | None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Label map of a window, and which of its pixels are valid, `None` for all."""
    values, valid = _read(raster, window, grid)
    place: dict[str, Any] = {"where": raster.name, "origin": (0, 0)}
    if window is not None:
        place["origin"] = (window.row_off, window.col_off)
    if labels is not None:
        _refuse_nodata(raster, labels)
        return decode_values(values, labels, valid=valid, **place), valid
    colors = _palette(raster)
    if classes.palette is not None and colors is not None:
        values = colors[values]
    greys = None
    if classes.palette is not None and values.ndim == 2:
        greys = _greys(raster, classes, values if valid is None else values[valid])
    if valid is not None:
        # Values of nodata pixels need not be in the table: replace them by one that is.
        values[~valid] = _any_value(classes, greys, values.ndim)
    if greys is None:
        return classes.decode(values, **place), valid
    return decode_greys(values, greys, **place), valid


def _refuse_nodata(raster: DatasetReader, labels: Mapping[int, int]) -> None:
    """Raises a `ValueError` if a mask declares a value as nodata that stands for a class."""
    if raster.nodata is not None and labels.get(int(raster.nodata), IGNORE_INDEX) != IGNORE_INDEX:
        raise InputError(
            f"{raster.name}: its nodata value {raster.nodata:g} is ignored, but --mask-values "
            f"names a class for it. Remove it: gdal_edit.py -unsetnodata {raster.name}"
        )


def _any_value(
    classes: ClassTable, greys: Greys | None, dimensions: int
) -> int | tuple[int, int, int]:
    """A value that `classes` or `greys` decode."""
    if greys is not None:
        return next(iter(greys))
    return classes.palette[0] if classes.palette is not None and dimensions == 3 else 0


def _read(
    raster: DatasetReader, window: Window | None, grid: Grid | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Stored values `(H, W)` or `(H, W, 3)`, and which pixels are valid, `None` for all."""
    bands = _value_bands(raster)
    if grid is not None:
        with warped(raster, grid) as virtual:
            return _pixels(virtual, bands, window)
    seen = orientation(raster)
    values, valid = _pixels(raster, bands, seen.stored_window(window))
    return seen.turn(values), None if valid is None else seen.turn(valid)


def _pixels(
    raster: DatasetReader, bands: list[int], window: Window | None
) -> tuple[np.ndarray, np.ndarray | None]:
    values = np.moveaxis(raster.read(bands, window=window), 0, -1)
    values = values[..., 0] if len(bands) == 1 else values
    return values, valid_pixels(raster, bands, window)


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
