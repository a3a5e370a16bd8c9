"""`keras_deeplab.vectorize`: the polygons of a finished class map."""

from __future__ import annotations

import pathlib
import typing
from collections.abc import Iterator, Sequence

import numpy as np
import tqdm

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab.prediction.vector.blocks import find_polygons
from keras_deeplab.prediction.vector.class_names import MapClass, listed_classes
from keras_deeplab.prediction.vector.map_reader import MapReader, open_map
from keras_deeplab.prediction.vector.parts import AREA, Parts
from keras_deeplab.prediction.vector.target import PolygonFile, check_polygons


def vectorize(
    class_map: StrPath,
    output: StrPath,
    *,
    classes: Sequence[str] | None = None,
    confidence: StrPath | None = None,
    min_area: float = 0,
    simplify: float = 0,
    progress: bool = True,
) -> dict[str, typing.Any]:
    """Writes the polygons of a class map of any size, in bounded memory.

    A polygon is an area of pixels of one class that share edges; it has holes where there are
    others. Fields: `class`, `class_index`, `pixels`, `area_m2` (geodesic, of the pixels; not where
    the map has no place on the ground), `confidence` (mean of its pixels).

    Args:
        class_map: The map, as `predict_raster` writes it, or another raster of class indices.
        output: `.gpkg`, `.geojson` (longitude and latitude) or `.fgb`.
        classes: Names of the classes to write; all but `background` by default.
        confidence: Map of the probability of each pixel's class, on the same grid.
        min_area: Square metres below which a polygon is left out.
        simplify: Tolerance in metres: points are removed that span triangles with a smaller square
            root of the area; neighbours keep their common border. 0 follows the pixels.
        progress: Whether to show a progress bar.

    Returns:
        JSON-serialisable dict: `classes`, for each `name`, `polygons`, and their `hectares` or
        `None`; `polygons`, and `left_out`, those smaller than `min_area`.

    Raises:
        ValueError: When the files do not fit, an option is invalid, or another process writes the
            output.
        UnreadableFileError: When a file cannot be read.
        OSError: When the output cannot be written.
    """
    if min_area < 0 or simplify < 0:
        raise InputError(f"min_area ({min_area}) and simplify ({simplify}) must be 0 or more.")
    with open_map(class_map, classes, confidence) as (reader, chosen):
        check_polygons(output, reader.grid)
        if pathlib.Path(output).resolve() in reader.files:
            raise InputError(f"{output} is a file of the map itself: choose another output.")
        resolution = None if reader.places is None else reader.places.resolution_m
        if resolution is None and (min_area or simplify):
            raise InputError(
                f"{class_map} has no place on the ground (no coordinate reference system or no "
                "transform): min_area and simplify, which are in metres, do not apply."
            )
        tolerance = simplify / resolution if resolution else 0
        summary = Summary(chosen)
        file = PolygonFile(
            output,
            reader.grid,
            chosen,
            has_confidence=confidence is not None,
            resolution_m=resolution,
        )
        file.write(summary.counted(_batches(reader, tolerance, progress), min_area))
        return summary.record(has_area=resolution is not None)


def _batches(reader: MapReader, tolerance: float, progress: bool) -> Iterator[Parts]:
    with tqdm.tqdm(
        total=reader.height * reader.width,
        unit="px",
        unit_scale=True,
        disable=not progress,
        leave=False,
    ) as bar:
        for parts, pixels in find_polygons(reader, tolerance=tolerance):
            yield parts
            bar.update(pixels)


class Summary:
    """Counts the polygons of each class."""

    def __init__(self, classes: Sequence[MapClass]) -> None:
        self._classes = classes
        self._polygons = np.zeros(256, np.int64)
        self._area = np.zeros(256)
        self._left_out = 0

    def counted(self, batches: Iterator[Parts], min_area: float) -> Iterator[Parts]:
        """The batches without polygons that are smaller."""
        for parts in batches:
            small = parts.totals[:, AREA] < min_area  # not where the area is NaN
            kept = parts.where(~small)
            self._left_out += int(small.sum())
            self._polygons += np.bincount(kept.values, minlength=256)
            self._area += np.bincount(kept.values, kept.totals[:, AREA], minlength=256)
            yield kept

    def record(self, *, has_area: bool) -> dict[str, typing.Any]:
        """What `vectorize` returns."""
        has_area = has_area and bool(np.isfinite(self._area).all())
        return {
            "classes": [
                {
                    "name": each.name,
                    "polygons": int(self._polygons[each.value]),
                    "hectares": float(self._area[each.value] / 1e4) if has_area else None,
                }
                for each in listed_classes(self._classes, self._polygons)
            ],
            "polygons": int(self._polygons.sum()),
            "left_out": self._left_out,
        }
