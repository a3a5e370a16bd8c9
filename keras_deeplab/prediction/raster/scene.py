"""A georeferenced scene to predict: one raster, or several of one grid as a mosaic."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import pathlib
import threading
import typing
from collections.abc import Iterator, Sequence

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab.data.files.images import BEYOND_8_BITS, ImageFormat, is_grey
from keras_deeplab.data.files.orientation import orientation
from keras_deeplab.data.files.places import Grid
from keras_deeplab.data.files.rasters import UnreadableFileError, clear_error, open_raster
from keras_deeplab.prediction.raster.area import Area
from keras_deeplab.prediction.raster.boxes import (
    Box,
    block_parts,
    box_of,
    covered_pixels,
    overlap,
    window_of,
)
from keras_deeplab.prediction.raster.mosaic import PlacedRaster, place_rasters

if typing.TYPE_CHECKING:
    from rasterio import DatasetReader
    from rasterio.windows import Window


logger = logging.getLogger("keras_deeplab")


class Scene:
    """Rasters of one grid that are read as one; `open_scene` makes it.

    Reading is thread-safe. Where several rasters have a pixel, the first one with data counts.

    Args:
        rasters: The open rasters, each with the row and the column of its first pixel.
        form: Bands to read and value range.
        nodata: Stored value that means no data in all bands, or `None` for what the files say.
        grid: `Grid` of all rasters together.
        skip_bad: Whether parts that cannot be read have no data; else they are an error.

    Attributes:
        area: `Area` to predict; `None` for the whole scene.
        bad_pixels: Pixels that could not be read, as `valid` found them.
    """

    def __init__(
        self,
        rasters: Sequence[PlacedRaster],
        form: ImageFormat,
        nodata: float | None,
        grid: Grid,
        skip_bad: bool,
    ) -> None:
        self._rasters = rasters
        self.form = form
        self.nodata = nodata
        self.grid = grid
        self.area: Area | None = None
        self.bad_pixels = 0
        self._skip_bad = skip_bad
        self._lock = threading.Lock()  # GDAL's datasets belong to one thread at a time
        self._full = not skip_bad and len(rasters) == 1 and form.all_valid(rasters[0][0], nodata)

    @property
    def rasters(self) -> list[DatasetReader]:
        """The open rasters."""
        return [raster for raster, _, _ in self._rasters]

    @property
    def files(self) -> set[pathlib.Path]:
        """The files of the rasters, with those that a VRT refers to."""
        return {pathlib.Path(name).resolve() for raster in self.rasters for name in raster.files}

    @property
    def box(self) -> Box:
        """The part of the scene to predict."""
        return Box(0, self.grid.height, 0, self.grid.width) if self.area is None else self.area.box

    def wanted(self, box: Box) -> bool:
        """Whether a part has pixels to predict, with data or without."""
        return self.area is None or self.area.touches(box)

    def valid(self, top: int, left: int, size: tuple[int, int]) -> np.ndarray:
        """Where there is data to predict, `(height, width)` bool, in a part of whole pixels.

        Nothing is read to the left and right of the area.
        """
        if self.area is None:
            return self._known(top, left, size)
        inside = self.area.inside(top, left, size)
        columns = np.flatnonzero(inside.any(axis=0))
        if len(columns):
            first, last = int(columns[0]), int(columns[-1]) + 1
            inside[:, first:last] &= self._known(top, left + first, (size[0], last - first))
        return inside

    def _known(self, top: int, left: int, size: tuple[int, int]) -> np.ndarray:
        """Where there is data, in the area or not."""
        if self._full:
            return np.ones(size, bool)
        box = Box(top, top + size[0], left, left + size[1])
        bad: list[int] = []
        _, valid = self.read(box, size, bad)
        self.bad_pixels += sum(bad)
        return valid

    def read(
        self, box: Box, size: tuple[int, int], bad: list[int] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Reads a part, averaged or interpolated to a size.

        Args:
            box: The part, within the scene.
            size: `(height, width)` in pixels of the image.
            bad: List that gets the number of pixels of each part that cannot be read.

        Returns:
            `(height, width, channels)` uint8 or float32 0..255, 0 where there is no data; and
            `(height, width)` bool, where there is some.

        Raises:
            UnreadableFileError: When a file is damaged there.
        """
        image = np.zeros((*size, self.form.channels), self.form.dtype)
        valid = np.zeros(size, bool)
        for raster, top, left in self._rasters:
            part = overlap(box, raster, top, left)
            if part is None or valid.all():
                continue
            inside, window = part
            rows, columns = covered_pixels(inside, box, size)
            if rows.start == rows.stop or columns.start == columns.stop:
                continue
            part_size = (rows.stop - rows.start, columns.stop - columns.start)
            found, known = self._read_raster(raster, window, part_size, bad)
            new = known & ~valid[rows, columns]
            np.copyto(image[rows, columns], found, where=new[..., np.newaxis])
            valid[rows, columns] |= known
        return image, valid

    def _read_raster(
        self, raster: DatasetReader, window: Window, size: tuple[int, int], bad: list[int] | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Reads a window of one raster; block by block where something cannot be read.

        So what has no data is the same, whatever window it is read with.
        """
        import rasterio

        whole = size == (window.height, window.width)
        try:
            with self._lock:
                image, valid = self.form.read_open(
                    raster, window, size=None if whole else size, nodata=self.nodata
                )
            return image, np.ones(size, bool) if valid is None else valid
        except rasterio.errors.RasterioError as error:
            clear_error(raster)
            if not self._skip_bad:
                raise UnreadableFileError(
                    raster.name,
                    f"cannot be read at row {window.row_off:.0f}, column {window.col_off:.0f} "
                    f"({error.__cause__ or error}); --on-bad-block nodata leaves such parts out",
                ) from error
        if not whole:
            return self._nearest(raster, window, size, bad)
        image, valid = np.zeros((*size, self.form.channels), self.form.dtype), np.zeros(size, bool)
        whole_box = box_of(window)
        parts = block_parts(whole_box, raster.block_shapes[0])
        if len(parts) == 1:
            if bad is not None:
                bad.append(size[0] * size[1])
            return image, valid
        for part in parts:
            target = covered_pixels(part, whole_box, size)
            image[target], valid[target] = self._read_raster(
                raster, window_of(part), valid[target].shape, bad
            )
        return image, valid

    def _nearest(
        self, raster: DatasetReader, window: Window, size: tuple[int, int], bad: list[int] | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The nearest pixels of a window that has damaged blocks.

        GDAL's resampling reads beyond the window, so all that is next to such a block would fail.
        """
        top, left = math.floor(window.row_off), math.floor(window.col_off)
        bottom = min(math.ceil(window.row_off + window.height), raster.height)
        right = min(math.ceil(window.col_off + window.width), raster.width)
        image, valid = self._read_raster(
            raster, window_of(Box(top, bottom, left, right)), (bottom - top, right - left), bad
        )
        rows = window.row_off - top + (np.arange(size[0]) + 0.5) * (window.height / size[0])
        columns = window.col_off - left + (np.arange(size[1]) + 0.5) * (window.width / size[1])
        nearest = np.ix_(rows.astype(int), columns.astype(int))
        return image[nearest], valid[nearest]


@contextlib.contextmanager
def open_scene(
    paths: Sequence[StrPath],
    form: ImageFormat,
    *,
    nodata: float | None = None,
    skip_bad: bool = False,
) -> Iterator[Scene]:
    """Opens one raster, or several of one grid as a mosaic.

    Args:
        paths: Files or addresses that GDAL reads.
        form: Bands to read and value range.
        nodata: Stored value that means no data, where the files do not say so.
        skip_bad: Whether parts that cannot be read have no data; else they are an error.

    Raises:
        ValueError: When bands or value range do not fit, or the rasters are not of one grid.
        UnreadableFileError: When a file cannot be opened.
    """
    if not paths:
        raise InputError("No raster to predict was given.")
    with contextlib.ExitStack() as stack:
        rasters = [stack.enter_context(open_raster(path)) for path in paths]
        if form.bands is None and all(is_grey(raster) for raster in rasters):
            logger.warning("%s has one band: it is read as --bands 1,1,1.", rasters[0].name)
            form = dataclasses.replace(form, bands=(1, 1, 1))
        for raster in rasters:
            _check(raster, form)
        placed, grid = place_rasters(rasters)
        yield Scene(placed, form, nodata, grid, skip_bad)


def _check(raster: DatasetReader, form: ImageFormat) -> None:
    problem = form.band_problem(raster)
    if problem:
        raise InputError(f"{problem}.")
    if form.lacks_range(raster):
        raise InputError(
            f"{raster.name} is {raster.dtypes[0]}: give the stored values that map to 0 and 255, "
            "as in training, for example value_range=(0, 4095) or --value-range 0 4095."
        )
    if form.exceeds_8_bits(raster):
        raise InputError(f"{raster.name}: {BEYOND_8_BITS}.")
    if orientation(raster).code != 1:
        raise InputError(
            f"{raster.name} is a photo that is to be turned for display: predict it as a picture."
        )
