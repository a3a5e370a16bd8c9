"""Reads a finished class map, block by block."""

from __future__ import annotations

import contextlib
import logging
import pathlib
import typing
from collections.abc import Iterator, Sequence

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab.data.files.places import CELL, grid_of, places_of
from keras_deeplab.data.files.rasters import open_raster, valid_pixels
from keras_deeplab.prediction.vector.class_names import MapClass, choose_classes, read_classes
from keras_deeplab.prediction.vector.corners import UNWANTED

if typing.TYPE_CHECKING:
    from rasterio import DatasetReader
    from rasterio.windows import Window

logger = logging.getLogger("keras_deeplab")


class MapReader:
    """Classes of a map, and the area and confidence of its pixels: a `PixelReader`.

    Args:
        raster: The open map.
        classes: The classes to read; the others are `UNWANTED`.
        confidence: The open map of confidence, or `None`.
    """

    def __init__(
        self,
        raster: DatasetReader,
        classes: Sequence[MapClass],
        confidence: DatasetReader | None = None,
    ) -> None:
        self._raster, self._confidence = raster, confidence
        self._lookup = np.full(UNWANTED + 1, UNWANTED, np.uint8)
        values = [each.value for each in classes]
        self._lookup[values] = values
        self.grid = grid_of(raster)
        self.height, self.width = raster.height, raster.width
        self.places = places_of(self.grid)

    @property
    def files(self) -> set[pathlib.Path]:
        """The files of the map and of its confidence."""
        rasters = [raster for raster in (self._raster, self._confidence) if raster is not None]
        return {pathlib.Path(name).resolve() for raster in rasters for name in raster.files}

    def values(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        """Classes of a part, which may go beyond the map; `UNWANTED` where there is none."""
        first_row, first_column = max(top, 0), max(left, 0)
        last_row, last_column = min(top + height, self.height), min(left + width, self.width)
        window = _window(first_row, first_column, last_row - first_row, last_column - first_column)
        found = self._lookup[self._raster.read(1, window=window)]
        valid = valid_pixels(self._raster, (1,), window)
        if valid is not None:
            found[~valid] = UNWANTED
        before = (first_row - top, first_column - left)
        after = (top + height - last_row, left + width - last_column)
        return np.pad(found, tuple(zip(before, after, strict=True)), constant_values=UNWANTED)

    def weights(self, top: int, left: int, height: int, width: int) -> list[np.ndarray]:
        """Square metres, confidence, and whether there is one, of each pixel of a part."""
        size = (height, width)
        nothing = np.zeros(size, np.float32)
        areas = nothing if self.places is None else self._areas(top, left, height, width)
        if self._confidence is None:
            return [areas, nothing, nothing]
        window = _window(top, left, height, width)
        found = self._confidence.read(1, window=window).astype(np.float64)
        valid = valid_pixels(self._confidence, (1,), window)
        known = np.isfinite(found) if valid is None else valid & np.isfinite(found)
        return [areas, np.where(known, found, 0), known]

    def _areas(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        rows = np.arange(top, top + height) // CELL
        columns = np.arange(left, left + width) // CELL
        cells = [
            [self._cell_area(row, column) for column in range(columns[0], columns[-1] + 1)]
            for row in range(rows[0], rows[-1] + 1)
        ]
        return np.array(cells)[np.ix_(rows - rows[0], columns - columns[0])]

    def _cell_area(self, row: int, column: int) -> float:
        """Square metres of a pixel in a cell, as the table of areas counts them."""
        assert self.places is not None
        top, left = row * CELL, column * CELL
        bottom, right = min(top + CELL, self.height), min(left + CELL, self.width)
        return self.places.area(top, bottom, left, right) / ((bottom - top) * (right - left))


def _window(top: int, left: int, height: int, width: int) -> Window:
    from rasterio.windows import Window

    return Window(left, top, width, height)


@contextlib.contextmanager
def open_map(
    path: StrPath, chosen: Sequence[str] | None, confidence: StrPath | None
) -> Iterator[tuple[MapReader, list[MapClass]]]:
    """Opens a finished map; yields its reader and the classes that are read.

    Args:
        path: The map.
        chosen: Names of classes; all but the background if `None`.
        confidence: The map of confidence, or `None`.

    Raises:
        ValueError: When it is not a class map, or does not fit the map of confidence.
        UnreadableFileError: When a file cannot be opened or is damaged.
    """
    with contextlib.ExitStack() as stack:
        raster = stack.enter_context(open_raster(path))
        if raster.count != 1 or raster.dtypes[0] != "uint8":
            raise InputError(
                f"{path} has {raster.count} bands of {raster.dtypes[0]}: a class map has one band "
                "of uint8, the class indices."
            )
        available = read_classes(raster)
        if not any(each.named for each in available):
            logger.warning(
                "%s does not name its classes: polygons are named by pixel value, 'class 3'.", path
            )
        classes = choose_classes(available, chosen, str(path))
        if confidence is None:
            yield MapReader(raster, classes), classes
            return
        sure = stack.enter_context(open_raster(confidence))
        if sure.count != 1 or grid_of(sure) != grid_of(raster):
            raise InputError(f"{confidence} is not the confidence of {path}: its grid differs.")
        yield MapReader(raster, classes, sure), classes
