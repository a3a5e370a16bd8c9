"""Whole outlines: predicted polygons against reference polygons, one to one."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab.data.files.places import apply_transform, grid_of
from keras_deeplab.data.files.polygon_files import read_polygons
from keras_deeplab.data.files.rasters import open_raster

TOLERANCE = 0.1  # pixels that an edge may be off its curve


@dataclasses.dataclass(frozen=True)
class OutlineScores:
    """How many outlines were found.

    Attributes:
        reference: Number of reference polygons.
        predicted: Number of predicted polygons.
        matched: Number of pairs whose IoU reaches the limit; a polygon is in one pair at most.
        mean_iou: Mean IoU of these pairs, 0..1; NaN without any.
        merged: Reference polygons without a pair that lie for the most part, more than half their
            area, in a prediction which covers other reference polygons as well.
    """

    reference: int
    predicted: int
    matched: int
    mean_iou: float
    merged: int

    @property
    def precision(self) -> float:
        """Share of the predicted outlines that are right, 0..1; NaN without any."""
        return self.matched / self.predicted if self.predicted else float("nan")

    @property
    def recall(self) -> float:
        """Share of the reference outlines that are found, 0..1; NaN without any."""
        return self.matched / self.reference if self.reference else float("nan")

    @property
    def f_score(self) -> float:
        """Harmonic mean of precision and recall, 0..1; NaN without any outline."""
        outlines = self.predicted + self.reference
        return 2 * self.matched / outlines if outlines else float("nan")

    def to_json(self) -> dict[str, typing.Any]:
        """All figures by name; `None` for NaN, which JSON does not have."""
        shares = {name: getattr(self, name) for name in ("precision", "recall", "f_score")}
        figures = {**dataclasses.asdict(self), **shares}
        return {name: None if value != value else value for name, value in figures.items()}


def match_outlines(
    predicted: np.ndarray, reference: np.ndarray, *, iou: float = 0.5
) -> OutlineScores:
    """Pairs predicted with reference polygons, the highest IoU first.

    Args:
        predicted: Valid shapely polygons or multipolygons, `(n,)`.
        reference: The same, `(m,)`, in the same coordinates.
        iou: Lowest intersection over union of a pair, above 0 and up to 1.

    Raises:
        ValueError: When `iou` is out of range.
    """
    import shapely

    if not 0 < iou <= 1:
        raise InputError(f"iou must be above 0 and at most 1, got {iou!r}.")
    rows, columns = shapely.STRtree(reference).query(predicted, predicate="intersects")
    areas = shapely.area(shapely.intersection(predicted[rows], reference[columns]))
    unions = shapely.area(predicted)[rows] + shapely.area(reference)[columns] - areas
    ratios = areas / unions
    pairs = []
    free_rows, free_columns = np.ones(len(predicted), bool), np.ones(len(reference), bool)
    for index in np.argsort(-ratios, kind="stable"):
        if ratios[index] < iou:
            break
        row, column = rows[index], columns[index]
        if free_rows[row] and free_columns[column]:
            free_rows[row] = free_columns[column] = False
            pairs.append(ratios[index])
    inside = areas > shapely.area(reference)[columns] / 2
    covered = np.bincount(rows[inside], minlength=len(predicted))
    merged = np.unique(columns[inside & (covered[rows] > 1) & free_columns[columns]])
    mean = float(np.mean(pairs)) if pairs else float("nan")
    return OutlineScores(len(reference), len(predicted), len(pairs), mean, len(merged))


def compare_outlines(
    predicted: StrPath,
    reference: StrPath,
    scene: StrPath,
    *,
    iou: float = 0.5,
    layer: str | None = None,
) -> OutlineScores:
    """Compares the polygons of two vector files on the ground of a scene.

    Polygons are clipped to the scene. Those with less than half of their area in it do not count.

    Args:
        predicted: File that `vectorize` wrote, or another vector file of polygons.
        reference: Vector file of the right polygons, in any CRS.
        scene: Raster that was predicted; only its extent and CRS are read.
        iou: Lowest intersection over union of a pair, above 0 and up to 1.
        layer: Layer of `reference`; needed where several have geometries.

    Raises:
        ValueError: When a file has no polygons, the scene no CRS, or no reference polygon is on it.
    """
    with open_raster(scene) as raster:
        grid = grid_of(raster)
    if not grid.georeferenced:
        raise InputError(f"{scene} has no CRS or no transform, so polygons have no place in it.")
    import shapely

    columns, rows = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]).T * [[grid.width], [grid.height]]
    x, y = apply_transform(grid.transform, columns, rows)
    extent = shapely.Polygon(np.stack([x, y], axis=-1))
    tolerance = TOLERANCE * (extent.area / (grid.width * grid.height)) ** 0.5
    found, right = (
        _clipped(read_polygons(path, grid.crs, tolerance=tolerance, layer=name).geometries, extent)
        for path, name in ((predicted, None), (reference, layer))
    )
    if not len(right):
        raise InputError(f"{reference} has no polygon with half of its area on {scene}.")
    return match_outlines(found, right, iou=iou)


def _clipped(polygons: np.ndarray, extent: typing.Any) -> np.ndarray:
    import shapely

    clipped = shapely.intersection(polygons, extent)
    return clipped[shapely.area(clipped) >= shapely.area(polygons) / 2]
