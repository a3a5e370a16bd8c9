"""Writes polygons to a vector file, batch by batch, and its style for QGIS."""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import pathlib
import shutil
import sqlite3
import typing
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath, parts_folder
from keras_deeplab._internal.locks import locked_target
from keras_deeplab.data.files.places import Grid, apply_transform, places_of
from keras_deeplab.prediction.vector.class_names import MapClass, listed_classes
from keras_deeplab.prediction.vector.parts import AREA, CONFIDENCE, KNOWN, PIXELS, Parts
from keras_deeplab.prediction.vector.style import add_geopackage_style, write_style

if typing.TYPE_CHECKING:
    import pyarrow

DRIVERS = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".fgb": "FlatGeobuf"}
METRES_PER_DEGREE = 111_000
READ_BACK = 4096  # polygons at a time


def check_polygons(path: StrPath, grid: Grid) -> None:
    """Raises a `ValueError` when the polygons of a map cannot be written to this file.

    Args:
        path: The vector file.
        grid: `Grid` of the map.
    """
    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in DRIVERS:
        raise InputError(f"{path}: polygons are written as {', '.join(DRIVERS)}.")
    try:
        for module in ("pyarrow", "pyogrio", "shapely"):
            importlib.import_module(module)
    except ImportError:
        raise InputError(
            'Polygons need pyogrio and shapely: pip install "keras-deeplab[vector]".'
        ) from None
    if grid.gcps:
        raise InputError(
            "Polygons need a map with a transform, but this one has ground control points: warp it "
            "first, for example with gdalwarp map.tif warped.tif."
        )
    if suffix == ".geojson" and places_of(grid) is None:
        raise InputError(
            f"{path}: GeoJSON has longitudes and latitudes, but the map has no place on the ground "
            "(no coordinate reference system or no transform): write .gpkg or .fgb."
        )


class PolygonFile:
    """Writes polygons with their fields; the file appears whole or not at all.

    Args:
        path: The vector file; the suffix tells the format.
        grid: `Grid` of the map.
        classes: The classes of the polygons.
        has_confidence: Whether the confidence is known.
        resolution_m: Metres per pixel, or `None`.
    """

    def __init__(
        self,
        path: StrPath,
        grid: Grid,
        classes: Sequence[MapClass],
        *,
        has_confidence: bool,
        resolution_m: float | None,
    ) -> None:
        self._path = pathlib.Path(path)
        self._driver = DRIVERS[self._path.suffix.lower()]
        self._grid = grid
        self._classes = classes
        self._crs = None
        if grid.georeferenced and grid.crs is not None:
            self._crs = grid.crs.to_wkt()
        self._has_area = resolution_m is not None
        self._has_confidence = has_confidence
        self._options = {}
        if self._driver == "GeoJSON":
            assert resolution_m is not None
            digits = math.ceil(-math.log10(resolution_m / METRES_PER_DEGREE / 100))
            self._options = {"RFC7946": "YES", "COORDINATE_PRECISION": str(max(digits, 7))}
        self._names = np.full(256, None, object)
        self._names[[each.value for each in classes]] = [each.name for each in classes]

    def write(self, batches: Iterable[Parts]) -> None:
        """Writes all batches.

        Raises:
            OSError: When the file cannot be written.
        """
        guarded = _Guarded(batches, self._batch)
        with locked_target(self._path), _new_folder(self._path) as folder:
            new = folder / self._path.name
            with _write_errors(self._path, guarded):
                self._write_batches(new, guarded)
                if _count_polygons(new) != guarded.counts.sum():
                    raise RuntimeError("the file is incomplete")
                classes = listed_classes(self._classes, guarded.counts)
                if self._driver == "GPKG":
                    add_geopackage_style(new, self._path.stem, classes)
            if self._driver != "GPKG":
                write_style(self._path, classes)
            os.replace(new, self._path)

    def _write_batches(self, path: pathlib.Path, guarded: _Guarded) -> None:
        """Writes in one pass, as some formats cannot be appended to."""
        import pyarrow
        import pyogrio

        reader = pyarrow.RecordBatchReader.from_batches(self._schema(), iter(guarded))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "'crs' was not provided")
            pyogrio.write_arrow(
                reader,
                path,
                layer=self._path.stem,
                driver=self._driver,
                geometry_name="geometry",
                geometry_type="Polygon",
                crs=self._crs,
                layer_options=self._options,
            )
        guarded.check()

    def _schema(self) -> pyarrow.Schema:
        import pyarrow

        fields = [("class", pyarrow.string()), ("class_index", pyarrow.int32())]
        fields += [("pixels", pyarrow.int64())]
        fields += [("area_m2", pyarrow.float64())] if self._has_area else []
        fields += [("confidence", pyarrow.float64())] if self._has_confidence else []
        return pyarrow.schema([*fields, ("geometry", pyarrow.binary())])

    def _batch(self, parts: Parts) -> pyarrow.RecordBatch:
        import pyarrow
        import shapely

        with np.errstate(invalid="ignore"):
            confidence = parts.totals[:, CONFIDENCE] / parts.totals[:, KNOWN]
        columns = {
            "class": self._names[parts.values],
            "class_index": parts.values,
            "pixels": parts.totals[:, PIXELS].astype(np.int64),
            "area_m2": parts.totals[:, AREA].round(6),
            "confidence": confidence.round(3),
            "geometry": shapely.to_wkb(shapely.transform(parts.shapes, self._place)),
        }
        return pyarrow.record_batch(
            [
                pyarrow.array(columns[field.name], field.type, from_pandas=True)  # NaN is null
                for field in self._schema()
            ],
            schema=self._schema(),
        )

    def _place(self, points: np.ndarray) -> np.ndarray:
        """Coordinates of points in columns and rows."""
        if not self._grid.transform.is_identity:
            return np.column_stack(apply_transform(self._grid.transform, *points.T))
        return points * (1, -1)  # as GIS place an image without georeference


class _Guarded:
    """Converts batches and counts their polygons.

    It keeps an error away from GDAL, which would not report it as it is.

    Args:
        batches: The batches.
        convert: Makes of each what is written.
    """

    def __init__(
        self, batches: Iterable[Parts], convert: Callable[[Parts], pyarrow.RecordBatch]
    ) -> None:
        self._batches, self._convert = batches, convert
        self._error: BaseException | None = None
        self.counts = np.zeros(256, np.int64)  # of each class

    def __iter__(self) -> Iterator[pyarrow.RecordBatch]:
        try:
            for parts in self._batches:
                self.counts += np.bincount(parts.values, minlength=256)
                yield self._convert(parts)
        except BaseException as error:
            self._error = error

    def check(self) -> None:
        """Raises the error that ended the batches."""
        if self._error is not None:
            raise self._error


@contextlib.contextmanager
def _new_folder(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Context manager: an empty folder next to a file; what a killed process left is removed."""
    folder = parts_folder(path)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _count_polygons(path: pathlib.Path) -> int:
    """Number of polygons that can be read: GDAL does not always report a full disk."""
    import pyogrio

    options = {"columns": [], "batch_size": READ_BACK, "use_pyarrow": True}
    with pyogrio.open_arrow(path, layer=path.stem, **options) as (_, reader):
        return sum(batch.num_rows for batch in reader)


@contextlib.contextmanager
def _write_errors(path: pathlib.Path, guarded: _Guarded) -> Iterator[None]:
    """Context manager: an error of writing becomes an `OSError` that names the file."""
    try:
        yield
    except (OSError, RuntimeError, sqlite3.Error) as error:  # pyogrio's are RuntimeErrors
        guarded.check()
        free = shutil.disk_usage(path.parent).free / 1e6
        raise OSError(
            f"{path} cannot be written ({error}). Free disk space there: {free:,.0f} MB."
        ) from error
