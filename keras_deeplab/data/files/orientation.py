"""Orientation of pictures: EXIF in JPEG, PNG and WebP files, the Orientation tag in TIFF files.

GDAL ignores it, but viewers and labelling tools turn the picture, so its mask is drawn on the
turned one. This module maps between the stored rows and columns and those of the turned picture.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath

if TYPE_CHECKING:
    from rasterio import DatasetReader
    from rasterio.windows import Window

TAG = ExifTags.Base.Orientation
TURNS = {  # code: transpose, then mirror the rows, mirror the columns
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
# Opened directly: `Image.open` refuses large pictures although only their header is read.
PICTURES: dict[str, Callable[[StrPath], ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
}


@dataclasses.dataclass(frozen=True)
class Orientation:
    """How to turn a stored picture.

    Args:
        code: 1..8 as in EXIF; 1 leaves the picture unchanged.
        stored: `(height, width)` of the stored picture.
    """

    code: int
    stored: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """`(height, width)` of the turned picture."""
        height, width = self.stored
        return (width, height) if TURNS[self.code][0] else (height, width)

    def __str__(self) -> str:
        """Width and height of the turned picture, and of the stored one if it is turned."""
        if self.code == 1:
            return f"{self.shape[::-1]}"
        return (
            f"{self.shape[::-1]} as turned by its orientation {self.code} (stored "
            f"{self.stored[::-1]})"
        )

    def stored_window(self, window: Window | None) -> Window | None:
        """The stored pixels of a window of the turned picture; `None` is the whole picture."""
        from rasterio.windows import Window

        if window is None or self.code == 1:
            return window
        transposed, mirror_rows, mirror_columns = TURNS[self.code]
        height, width = self.shape
        row, column = window.row_off, window.col_off
        row = height - row - window.height if mirror_rows else row
        column = width - column - window.width if mirror_columns else column
        if transposed:
            return Window(row, column, window.height, window.width)
        return Window(column, row, window.width, window.height)

    def turn(self, pixels: np.ndarray) -> np.ndarray:
        """A view of stored pixels `(H, W)` or `(H, W, C)`, turned as `ImageOps.exif_transpose`."""
        transposed, mirror_rows, mirror_columns = TURNS[self.code]
        pixels = pixels.swapaxes(0, 1) if transposed else pixels
        return pixels[:: -1 if mirror_rows else 1, :: -1 if mirror_columns else 1]


def orientation(raster: DatasetReader) -> Orientation:
    """Orientation of an open raster.

    Raises:
        ValueError: When the raster also has coordinates, which hold for the stored picture.
    """
    code = _stored_code(raster)
    if code != 1 and (raster.crs or not raster.transform.is_identity or raster.gcps[0]):
        raise InputError(
            f"{raster.name} has the orientation {code} and coordinates, which hold for the picture "
            "as stored: remove the orientation, for example with gdal_translate, which drops it"
        )
    return Orientation(code, raster.shape)


def _stored_code(raster: DatasetReader) -> int:
    """The orientation tag; 1 if it is missing or damaged, which viewers show unturned too."""
    try:
        if raster.driver == "GTiff":
            code = _tiff_code(raster.name)
        elif raster.driver in PICTURES:
            code = _exif_code(raster.driver, raster.name)
        else:
            return 1
    except Exception:  # Pillow and struct have many for damaged metadata.
        return 1
    return code if code in TURNS else 1


def _exif_code(driver: str, path: StrPath) -> int:
    with PICTURES[driver](path) as picture:
        # Not `picture.getexif()`: for a PNG it decodes the pixels to reach what follows them.
        exif = Image.Image.getexif(picture)
    if TAG not in exif and driver == "PNG":
        exif.load(_late_exif(path))
    return exif.get(TAG, 1)


def _late_exif(path: StrPath) -> bytes:
    """The EXIF chunk of a PNG, which may follow the pixels; empty if there is none."""
    with open(path, "rb", buffering=0) as file:  # most bytes are skipped
        file.seek(8)
        while head := file.read(8):
            length, kind = struct.unpack(">I4s", head)
            if kind == b"eXIf":
                return file.read(length)
            file.seek(length + 4, 1)
    return b""


def _tiff_code(path: StrPath) -> int:
    """The tag in the first directory of a TIFF or BigTIFF.

    Not read with Pillow, which knows neither all pixel types of a TIFF nor all its compressions.
    """
    with open(path, "rb") as file:
        order = {b"II": "<", b"MM": ">"}[file.read(2)]

        def number(form: str) -> int:
            return struct.unpack(order + form, file.read(struct.calcsize(order + form)))[0]

        big = number("H") == 43
        if big:
            number("I")  # size of an offset, and a constant
        file.seek(number("Q" if big else "I"))
        for _ in range(number("Q" if big else "H")):
            entry = file.read(20 if big else 12)
            if struct.unpack_from(order + "H", entry)[0] == TAG:
                return struct.unpack_from(order + "H", entry, 12 if big else 8)[0]
    return 1
