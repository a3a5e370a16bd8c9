"""A georeferenced scene to predict: one raster, or several of one grid as a mosaic."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
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
from keras_deeplab.data.files.rasters import open_raster
from keras_deeplab.prediction.raster.area import Area
from keras_deeplab.prediction.raster.boxes import Box, Part, covered_pixels, overlap
from keras_deeplab.prediction.raster.mosaic import PlacedRaster, place_rasters
from keras_deeplab.prediction.raster.raster_reader import RasterReader

if typing.TYPE_CHECKING:
    from rasterio import DatasetReader

GAP = 512  # columns without a pixel to predict that are not read

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
        bad_pixels: Pixels to predict without data that could not be read, as `valid` found them.
    """

    def __init__(
        self,
        rasters: Sequence[PlacedRaster],
        form: ImageFormat,
        nodata: float | None,
        grid: Grid,
        skip_bad: bool,
    ) -> None:
        lock = threading.Lock()
        self._readers = [
            (RasterReader(raster, form, nodata, skip_bad=skip_bad, lock=lock), top, left)
            for raster, top, left in rasters
        ]
        self.form = form
        self.nodata = nodata
        self.grid = grid
        self.area: Area | None = None
        self.bad_pixels = 0
        self._full = not skip_bad and len(rasters) == 1 and form.all_valid(rasters[0][0], nodata)

    @property
    def rasters(self) -> list[DatasetReader]:
        """The open rasters."""
        return [reader.raster for reader, _, _ in self._readers]

    @property
    def files(self) -> set[pathlib.Path]:
        """The files of the rasters, with those that a VRT refers to."""
        return {pathlib.Path(name).resolve() for raster in self.rasters for name in raster.files}

    @property
    def part(self) -> Part:
        """The part of the scene with all pixels to predict."""
        if self.area is not None:
            return self.area.part
        return Part(0, self.grid.height, 0, self.grid.width)

    def wanted(self, box: Box) -> bool:
        """Whether a part has pixels to predict, with data or without."""
        return self.area is None or self.area.touches(box)

    def valid(self, top: int, left: int, size: tuple[int, int]) -> np.ndarray:
        """Where there is data to predict, `(height, width)` bool, in a part of whole pixels.

        Nothing is read to the left and right of the area, and in wide gaps of it.
        """
        wanted = np.ones(size, bool) if self.area is None else self.area.inside(top, left, size)
        columns = np.flatnonzero(wanted.any(axis=0))
        if self._full or not len(columns):
            return wanted
        for span in np.split(columns, np.flatnonzero(np.diff(columns) > GAP) + 1):
            first, last = int(span[0]), int(span[-1]) + 1
            part, box = wanted[:, first:last], Box(top, top + size[0], left + first, left + last)
            bad = np.zeros(part.shape, bool)
            _, known = self.read(box, part.shape, bad)
            self.bad_pixels += int((part & bad & ~known).sum())
            part &= known
        return wanted

    def read(
        self, box: Box, size: tuple[int, int], bad: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Reads a part, averaged or interpolated to a size.

        Args:
            box: The part, within the scene.
            size: `(height, width)` in pixels of the image.
            bad: Bool array of this size, set where a raster cannot be read; `None`, or for a part
                of whole pixels that are those of the image.

        Returns:
            `(height, width, channels)` uint8 or float32 0..255, 0 where there is no data; and
            `(height, width)` bool, where there is some.

        Raises:
            UnreadableFileError: When a file is damaged there.
        """
        image = np.zeros((*size, self.form.channels), self.form.dtype)
        valid = np.zeros(size, bool)
        for reader, top, left in self._readers:
            part = overlap(box, reader.raster, top, left)
            if part is None or valid.all():
                continue
            inside, window = part
            rows, columns = covered_pixels(inside, box, size)
            if rows.start == rows.stop or columns.start == columns.stop:
                continue
            part_size = (rows.stop - rows.start, columns.stop - columns.start)
            part_bad = None if bad is None else bad[rows, columns]
            found, known = reader.read(window, part_size, part_bad)
            new = known & ~valid[rows, columns]
            np.copyto(image[rows, columns], found, where=new[..., np.newaxis])
            valid[rows, columns] |= known
        return image, valid


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
