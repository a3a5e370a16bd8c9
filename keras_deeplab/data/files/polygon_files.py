"""Polygons of vector files, in the coordinate reference system of a raster."""

from __future__ import annotations

import dataclasses
import logging
import typing
from collections.abc import Sequence

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab._internal.problems import MOST_LISTED
from keras_deeplab.data.files.rasters import UnreadableFileError
from keras_deeplab.data.files.reprojection import Bounds, near_rectangles, project_polygons
from keras_deeplab.data.files.vector_layers import read_layer

logger = logging.getLogger("keras_deeplab")


@dataclasses.dataclass(frozen=True)
class Polygons:
    """Polygon features of a vector file.

    Attributes:
        geometries: Valid shapely polygons and multipolygons, `(features,)`. None of them is empty,
            except those far from what was asked for.
        numbers: Number of each feature in the file (FID), for messages.
        fields: Values of each field that was asked for, `(features,)`, by its name.
    """

    geometries: np.ndarray
    numbers: np.ndarray
    fields: dict[str, np.ndarray]

    def where(self, chosen: np.ndarray) -> Polygons:
        """The features that a mask `(features,)` bool, or indices, choose."""
        fields = {name: values[chosen] for name, values in self.fields.items()}
        return Polygons(self.geometries[chosen], self.numbers[chosen], fields)

    def listed(self, chosen: np.ndarray) -> str:
        """Number of the features that a mask chooses, and which, for a message."""
        numbers = self.numbers[chosen]
        shown = ", ".join(map(str, numbers[:MOST_LISTED]))
        more = ", ..." if len(numbers) > MOST_LISTED else ""
        return f"{len(numbers)} of {len(self.numbers)} features (FID {shown}{more})"


def read_polygons(
    path: StrPath,
    crs: typing.Any,
    *,
    tolerance: float,
    layer: str | None = None,
    fields: Sequence[str] = (),
    near: Sequence[Bounds] | None = None,
) -> Polygons:
    """Reads the polygons of a vector file and projects them.

    Edges are straight in the CRS of the file; points are added where they are curves in `crs`.
    Invalid polygons are repaired, features without a geometry left out: a log message tells which.

    Args:
        path: File or address that OGR reads: GeoPackage, GeoJSON, Shapefile, FlatGeobuf, ...
        crs: CRS of the result, as pyproj or rasterio has it. x is east, whatever its axis order.
        tolerance: Distance in units of `crs` that an edge may be off its curve.
        layer: Name of the layer; needed where several have geometries.
        fields: Names of the attribute fields to read.
        near: Rectangles in `crs`. Geometries far from all of them become empty: they need not be
            valid, nor within the area of `crs`. `None`: all are read.

    Returns:
        `Polygons`, in the order of the file.

    Raises:
        ValueError: When there are no polygons, or points or lines among them; when layer, field or
            CRS is missing; when polygons cannot be projected.
        UnreadableFileError: When the file cannot be opened.
    """
    try:
        import shapely
        from pyogrio.errors import DataLayerError, DataSourceError
    except ImportError:
        raise InputError(
            'Vector files need pyogrio and shapely: pip install "keras-deeplab[vector]".'
        ) from None

    try:
        source_crs, numbers, geometries, values = read_layer(path, layer, fields)
    except (DataSourceError, DataLayerError) as error:
        reason = str(error).split("; It might help")[0].rstrip(".")  # a hint for programmers
        raise UnreadableFileError(path, f"cannot be read as a vector file ({reason})") from error
    found = Polygons(shapely.from_wkb(geometries, on_invalid="fix"), numbers, values)
    found = _only_polygons(_not_empty(found, path), path)
    if source_crs is None:
        raise InputError(
            f"{path} has no CRS: assign that of its coordinates, for example, if they are degrees, "
            f"with ogr2ogr -a_srs EPSG:4326 with_crs.gpkg {path}."
        )
    chosen = np.ones(len(found.numbers), bool)
    projected = np.full(len(chosen), shapely.Polygon())
    try:
        if near is not None:
            chosen = near_rectangles(shapely.bounds(found.geometries), source_crs, near, crs)
        if chosen.any():
            projected[chosen] = project_polygons(
                found.geometries[chosen], source_crs, crs, tolerance
            )
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    unknown = chosen & ~np.isfinite(shapely.bounds(projected)).all(axis=1)
    if unknown.any():
        raise InputError(
            f"{path}: {found.listed(unknown)} reach beyond the area of the CRS {_name(crs)}: clip "
            "them first, for example with Clip in QGIS."
        )
    return _repaired(dataclasses.replace(found, geometries=projected), path)


def _not_empty(found: Polygons, path: StrPath) -> Polygons:
    """The features that have a geometry."""
    import shapely

    empty = shapely.is_missing(found.geometries) | shapely.is_empty(found.geometries)
    return _without(found, empty, path)


def _without(found: Polygons, empty: np.ndarray, path: StrPath) -> Polygons:
    """The features without those that a mask says to have no geometry."""
    if empty.all():
        reason = f": {found.listed(empty)} have no geometry" if len(empty) else ""
        raise InputError(f"{path} has no polygons{reason}.")
    if empty.any():
        logger.warning("%s: %s have no geometry and are left out.", path, found.listed(empty))
    return found.where(~empty)


def _only_polygons(found: Polygons, path: StrPath) -> Polygons:
    """The same features; those that are collections as multipolygons.

    Raises:
        ValueError: When a feature has anything other than polygons.
    """
    import shapely

    parts, owners = shapely.get_parts(found.geometries, return_index=True)
    while (shapely.get_type_id(parts) > shapely.GeometryType.POLYGON).any():  # within collections
        parts, index = shapely.get_parts(parts, return_index=True)
        owners = owners[index]
    wrong = shapely.get_type_id(parts) != shapely.GeometryType.POLYGON
    if wrong.any():
        kinds = " and ".join(sorted({part.geom_type for part in parts[wrong]}))
        which = found.listed(np.isin(np.arange(len(found.numbers)), owners[wrong]))
        raise InputError(
            f"{path}: {which} are of type {kinds}, which has no area: leave them out, or make "
            "polygons of them first, for example with Buffer in QGIS."
        )
    geometries = found.geometries.copy()
    types = shapely.get_type_id(geometries)
    for index in np.flatnonzero(types == shapely.GeometryType.GEOMETRYCOLLECTION):
        geometries[index] = shapely.multipolygons(parts[owners == index])
    return dataclasses.replace(found, geometries=geometries)


def _repaired(found: Polygons, path: StrPath) -> Polygons:
    """The features with valid geometries, without those that enclose no area."""
    import shapely

    invalid = ~shapely.is_valid(found.geometries)
    if not invalid.any():
        return found
    geometries = found.geometries.copy()
    geometries[invalid] = shapely.make_valid(
        geometries[invalid], method="structure", keep_collapsed=False
    )
    logger.warning("%s: %s were invalid polygons and are repaired.", path, found.listed(invalid))
    repaired = dataclasses.replace(found, geometries=geometries)
    return _without(repaired, invalid & shapely.is_empty(geometries), path)


def _name(crs: typing.Any) -> str:
    import pyproj

    return pyproj.CRS.from_user_input(crs).name
