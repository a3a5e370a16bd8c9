"""Opening rasters of any size with rasterio, and reading parts of them."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath

if TYPE_CHECKING:
    from rasterio import DatasetReader
    from rasterio.windows import Window

BLOCK = 2048  # pixels per side of the parts in which large rasters are read
OPTIONS = {
    # Decoded blocks, in bytes: rasterio does not pass on megabytes. The default is 5 % of the
    # machine's memory.
    "GDAL_CACHEMAX": 64 * 2**20,
    "GDAL_PNG_WHOLE_IMAGE_OPTIM": "NO",  # with it, missing rows of a truncated file become noise
}

_OPENING = threading.Lock()  # warnings.catch_warnings is not thread-safe


class UnreadableFileError(InputError):
    """A damaged, deleted or inaccessible file; not one with wrong contents.

    Args:
        path: Name of the file in the message.
        reason: What went wrong, without a period.
    """

    def __init__(self, path: StrPath, reason: str) -> None:
        super().__init__(f"{path}: {reason}.")
        self.path = str(path)
        self.reason = reason


@contextlib.contextmanager
def open_raster(path: StrPath, *, name: str | None = None) -> Iterator[DatasetReader]:
    """Opens a raster for reading, georeferenced or not.

    Args:
        path: A file that GDAL reads: TIFF, PNG, JPEG and many more.
        name: Name of the file in errors; its path by default.

    Yields:
        The open raster. Errors of reading in the `with` block are converted too.

    Raises:
        UnreadableFileError: When the file cannot be opened or is damaged; names it and says why.
    """
    import rasterio

    try:
        with rasterio.Env(**OPTIONS), _opened(path) as raster:
            yield raster
    except rasterio.errors.RasterioError as error:
        cause = error.__cause__ or error  # GDAL's message
        raise UnreadableFileError(name or path, f"cannot be read as a raster ({cause})") from error


def _opened(path: StrPath) -> DatasetReader:
    import rasterio

    with without_georeference_warning():
        raster = rasterio.open(path)
    # What GDAL only noted at opening, such as damaged EXIF of a JPEG, whose pixels can be read. An
    # error of more weight comes again.
    clear_error(raster)
    return raster


def clear_error(raster: DatasetReader) -> None:
    """Clears GDAL's last error in this thread, which rasterio raises at the next good call."""
    with contextlib.suppress(Exception):
        raster.colorinterp  # noqa: B018


@contextlib.contextmanager
def without_georeference_warning() -> Iterator[None]:
    """Context manager in which to open a raster, to read or to write, that has no georeference.

    Also to burn polygons in pixels.
    """
    import rasterio

    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        yield


def valid_pixels(
    raster: DatasetReader,
    bands: Sequence[int],
    window: Window | None = None,
    size: tuple[int, int] | None = None,
) -> np.ndarray | None:
    """Valid pixels of a raster, by its nodata value, mask or alpha band.

    Args:
        raster: The open raster.
        bands: Bands to check, counted from 1.
        window: The window, or `None` for the whole raster.
        size: `(height, width)` of the result, of the nearest pixels; `None` for that as stored.

    Returns:
        `(H, W)` bool, false where all bands are nodata; `None` if all pixels are valid.
    """
    from rasterio.enums import MaskFlags

    if any(MaskFlags.all_valid in raster.mask_flag_enums[band - 1] for band in bands):
        return None
    shape = None if size is None else (len(bands), *size)
    return raster.read_masks(list(bands), window=window, out_shape=shape).any(axis=0)


def palette(raster: DatasetReader) -> np.ndarray | None:
    """Colours `(values, 3)` uint8 of a raster with a palette; `None` for any other."""
    from rasterio.enums import ColorInterp

    if raster.colorinterp != (ColorInterp.palette,):
        return None
    colors = raster.colormap(1)
    table = np.zeros((max(256, *colors) + 1, 3), np.uint8)
    for value, (red, green, blue, _) in colors.items():
        table[value] = red, green, blue
    return table


def band_listing(raster: DatasetReader) -> str:
    """The bands of a raster for a message: `1 red, 2 green, 3 blue, 4 nir`."""
    names = [
        description or color.name
        for description, color in zip(raster.descriptions, raster.colorinterp, strict=True)
    ]
    return ", ".join(f"{band} {name}" for band, name in zip(raster.indexes, names, strict=True))


def blocks(shape: tuple[int, int]) -> Iterator[Window]:
    """Windows of at most `BLOCK` x `BLOCK` pixels that cover `(height, width)`, row by row."""
    from rasterio.windows import Window

    height, width = shape
    for row in range(0, height, BLOCK):
        for column in range(0, width, BLOCK):
            yield Window(column, row, min(BLOCK, width - column), min(BLOCK, height - row))
