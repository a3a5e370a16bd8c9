"""Scenes: georeferenced images of any size, whose labels are given on the ground."""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import pathlib
import typing
from collections.abc import Sequence

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab._internal.problems import raise_problems
from keras_deeplab.data.files.checks import raise_ranges
from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.data.files.orientation import orientation
from keras_deeplab.data.files.pairs import files_by_stem
from keras_deeplab.data.files.places import Grid, apply_transform, grid_of, places_of
from keras_deeplab.data.files.rasters import open_raster
from keras_deeplab.data.files.reprojection import Bounds

if typing.TYPE_CHECKING:
    from rasterio import DatasetReader

NEAR = 1.25  # ratio of two ground resolutions that a network does not mind

logger = logging.getLogger("keras_deeplab")

TOLERANCE = 0.1  # pixels that an edge of a polygon may be off its curve


@dataclasses.dataclass(frozen=True)
class Scene:
    """A scene, as it is read.

    Args:
        path: Its file.
        grid: `Grid` of the pixels that are read.
        scale: Stored pixels per pixel, along rows and columns; `None` for the scene as stored.
        all_valid: Whether no pixel can lack data.
    """

    path: str
    grid: Grid
    scale: tuple[float, float] | None
    all_valid: bool

    @property
    def shape(self) -> tuple[int, int]:
        """`(height, width)` in pixels that are read."""
        return self.grid.height, self.grid.width

    def ground(self, pixels: np.ndarray) -> np.ndarray:
        """Coordinates `(N, 2)` of places `(column, row)` in pixels."""
        return np.stack(apply_transform(self.grid.transform, *pixels.T), axis=-1)

    def outline(self, margin: int = 0) -> np.ndarray:
        """Coordinates `(4, 2)` of its corners, with a margin in pixels."""
        low, right, bottom = -margin, self.grid.width + margin, self.grid.height + margin
        return self.ground(np.array([(low, low), (right, low), (right, bottom), (low, bottom)]))


def scene_files(paths: StrPath | Sequence[StrPath]) -> list[str]:
    """The files of scenes: those named, and all in the folders among them."""
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    files: list[str] = []
    for path in map(pathlib.Path, paths):
        files += map(str, files_by_stem(path).values()) if path.is_dir() else [str(path)]
    raise_problems("Scenes that are named twice", {f for f in files if files.count(f) > 1})
    return files


def open_scenes(
    files: Sequence[str], form: ImageFormat, resolution: float | None = None
) -> list[Scene]:
    """Checks scenes by their headers.

    Args:
        files: Their files.
        form: Format to read them with.
        resolution: Ground resolution to read them at, in metres per pixel; `None` as stored.

    Raises:
        ValueError: Lists the scenes that cannot be read, have no georeference, or do not fit the
            format.
    """
    found: list[Scene] = []
    problems: list[str | None] = []
    lacking, exceeding = [], []
    for path in files:
        try:
            with open_raster(path) as raster:
                problem = form.band_problem(raster) or _place_problem(raster)
                problems.append(problem)
                if problem is None:
                    found.append(_scene(path, raster, form, resolution))
                    lacking += [path] * form.lacks_range(raster)
                    exceeding += [path] * form.exceeds_8_bits(raster)
        except InputError as error:
            problems.append(str(error))
    raise_problems("Scenes that cannot be used", problems)
    raise_ranges(lacking, exceeding, form)
    if resolution is None:
        _warn_of_resolutions(found)
    return found


def _warn_of_resolutions(scenes: Sequence[Scene]) -> None:
    known = [places.resolution_m for scene in scenes if (places := places_of(scene.grid))]
    if known and max(known) > NEAR * min(known):
        logger.warning(
            "The scenes have %.3g to %.3g m per pixel: --resolution METRES reads all at one.",
            min(known),
            max(known),
        )


def _place_problem(raster: DatasetReader) -> str | None:
    """Why places on the ground cannot be found in an open raster, or `None`."""
    orientation(raster)  # an error where it has one, and coordinates
    grid = grid_of(raster)
    if grid.gcps:
        return (
            f"{raster.name} has ground control points instead of a geotransform: warp it first, "
            "for example with gdalwarp"
        )
    if grid.georeferenced:
        return None
    missing = "CRS" if grid.crs is None else "geotransform"
    return f"{raster.name} has no {missing}: it is not known where the labels are on it"


def _scene(path: str, raster: DatasetReader, form: ImageFormat, resolution: float | None) -> Scene:
    grid, valid = grid_of(raster), form.all_valid(raster)
    if resolution is None:
        return Scene(path, grid, None, valid)
    places = places_of(grid)
    if places is None:
        raise InputError(
            f"{path}: its ground resolution is unknown, so it cannot be read at {resolution:g} m "
            "per pixel."
        )
    factor = places.resolution_m / resolution
    height, width = (max(round(length * factor), 1) for length in (grid.height, grid.width))
    rows, columns = grid.height / height, grid.width / width
    a, b, c, d, e, f, *_ = grid.transform
    transform = type(grid.transform)(a * columns, b * rows, c, d * columns, e * rows, f)
    scaled = dataclasses.replace(grid, height=height, width=width, transform=transform)
    return Scene(path, scaled, (rows, columns), valid)


class Region(typing.NamedTuple):
    """Where scenes of one coordinate reference system need polygons.

    Attributes:
        crs: The CRS.
        tolerance: Distance in its units that an edge may be off its curve.
        bounds: Left, bottom, right and top of each scene.
    """

    crs: typing.Any
    tolerance: float
    bounds: tuple[Bounds, ...]


def region_of(scenes: Sequence[Scene], margin: int = 0) -> Region:
    """The `Region` of scenes of one CRS, with a margin in pixels around each."""
    sides = [
        math.hypot(*side)
        for transform in (scene.grid.transform for scene in scenes)
        for side in ((transform.a, transform.d), (transform.b, transform.e))
    ]
    bounds = tuple(_bounds(scene.outline(margin)) for scene in scenes)
    return Region(scenes[0].grid.crs, TOLERANCE * min(sides), bounds)


def _bounds(points: np.ndarray) -> Bounds:
    (left, bottom), (right, top) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return left, bottom, right, top
