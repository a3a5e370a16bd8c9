"""Reads windows of one raster, block by block where it is damaged."""

from __future__ import annotations

import math
import threading
import typing

import numpy as np

from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.data.files.rasters import UnreadableFileError, clear_error
from keras_deeplab.prediction.raster.boxes import (
    Box,
    block_parts,
    box_of,
    covered_pixels,
    window_of,
)

if typing.TYPE_CHECKING:
    from rasterio import DatasetReader
    from rasterio.windows import Window


class RasterReader:
    """Reads windows of an open raster.

    Args:
        raster: The raster.
        form: Bands to read and value range.
        nodata: Stored value that means no data in all bands, or `None` for what the file says.
        skip_bad: Whether parts that cannot be read have no data; else they are an error.
        lock: Held while GDAL reads. Its datasets belong to one thread at a time, and VRTs of one
            scene may share a file.
    """

    def __init__(
        self,
        raster: DatasetReader,
        form: ImageFormat,
        nodata: float | None,
        *,
        skip_bad: bool,
        lock: threading.Lock,
    ) -> None:
        self.raster = raster
        self._form = form
        self._nodata = nodata
        self._skip_bad = skip_bad
        self._lock = lock

    def read(
        self, window: Window, size: tuple[int, int], bad: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Reads a window; block by block where something cannot be read.

        So what has no data is the same, whatever window it is read with.

        Args:
            window: The window, within the raster.
            size: `(height, width)` of the image.
            bad: Bool array of this size, set where pixels cannot be read; `None`, or for a window
                of this size.

        Returns:
            Image `(height, width, channels)`, and where it has data `(height, width)` bool.

        Raises:
            UnreadableFileError: When the file is damaged there, without `skip_bad`.
        """
        import rasterio

        whole = size == (window.height, window.width)
        try:
            with self._lock:
                image, valid = self._form.read_open(
                    self.raster, window, size=None if whole else size, nodata=self._nodata
                )
            return image, np.ones(size, bool) if valid is None else valid
        except rasterio.errors.RasterioError as error:
            clear_error(self.raster)
            if not self._skip_bad:
                raise UnreadableFileError(
                    self.raster.name,
                    f"cannot be read at row {window.row_off:.0f}, column {window.col_off:.0f} "
                    f"({error.__cause__ or error}); --on-bad-block nodata leaves such parts out",
                ) from error
        return self._by_blocks(window, size, bad) if whole else self._nearest(window, size)

    def _by_blocks(
        self, window: Window, size: tuple[int, int], bad: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The pixels of a window that has damaged blocks."""
        image = np.zeros((*size, self._form.channels), self._form.dtype)
        valid = np.zeros(size, bool)
        box = box_of(window)
        parts = block_parts(box, self.raster.block_shapes[0])
        if len(parts) == 1:
            if bad is not None:
                bad[:] = True
            return image, valid
        for part in parts:
            target = covered_pixels(part, box, size)
            image[target], valid[target] = self.read(
                window_of(part), valid[target].shape, None if bad is None else bad[target]
            )
        return image, valid

    def _nearest(self, window: Window, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """The nearest pixels of a window that has damaged blocks.

        GDAL's resampling reads beyond the window, so all that is next to such a block would fail.
        """
        top, left = math.floor(window.row_off), math.floor(window.col_off)
        bottom = min(math.ceil(window.row_off + window.height), self.raster.height)
        right = min(math.ceil(window.col_off + window.width), self.raster.width)
        image, valid = self.read(
            window_of(Box(top, bottom, left, right)), (bottom - top, right - left)
        )
        rows = window.row_off - top + (np.arange(size[0]) + 0.5) * (window.height / size[0])
        columns = window.col_off - left + (np.arange(size[1]) + 0.5) * (window.width / size[1])
        nearest = np.ix_(rows.astype(int), columns.astype(int))
        return image[nearest], valid[nearest]
