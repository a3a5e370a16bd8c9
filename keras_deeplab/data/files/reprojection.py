"""Polygons in another coordinate reference system, long edges as the curves that they become."""

from __future__ import annotations

import typing
from collections.abc import Callable, Sequence

import numpy as np

if typing.TYPE_CHECKING:
    import pyproj

DEEPEST = (
    20  # halvings of an edge; one that crosses the end of a projection would never be straight
)
TESTED = (0.3, 0.6)  # where an edge is tested; a curve of S shape meets its chord in the middle

Project = Callable[[np.ndarray], np.ndarray]  # coordinates (N, 2) to others
Bounds = tuple[float, float, float, float]  # left, bottom, right, top


def project_polygons(
    polygons: np.ndarray, source: typing.Any, target: typing.Any, tolerance: float
) -> np.ndarray:
    """Projects polygons from one CRS to another.

    Args:
        polygons: Shapely polygons and multipolygons, none of them empty.
        source: Their CRS, as pyproj or rasterio has it; x is east, whatever its axis order.
        target: The CRS to project to.
        tolerance: Distance in units of `target` that an edge may be off its curve.

    Returns:
        Array of the same length. Coordinates beyond the area of the target CRS are infinite.

    Raises:
        ValueError: When there is no transformation between the two.
    """
    import pyproj

    source, target = (pyproj.CRS.from_user_input(crs) for crs in (source, target))
    if source.equals(target, ignore_axis_order=True):
        return polygons
    transform = _transformer(source, target).transform
    return map_polygons(polygons, lambda xy: np.stack(transform(*xy.T), axis=-1), tolerance)


def near_rectangles(
    boxes: np.ndarray, source: typing.Any, rectangles: Sequence[Bounds], target: typing.Any
) -> np.ndarray:
    """Which boxes in one CRS may meet one of some rectangles in another, `(boxes,)` bool.

    Rectangles have their own size as a margin. Everything is near one that `source` cannot
    represent.

    Args:
        boxes: `(N, 4)` left, bottom, right and top in `source`.
        source: CRS of the boxes; x is east, whatever its axis order.
        rectangles: Left, bottom, right and top in `target`.
        target: CRS of the rectangles.

    Raises:
        ValueError: When there is no transformation between the two.
    """
    import pyproj

    source, target = (pyproj.CRS.from_user_input(crs) for crs in (source, target))
    back = _transformer(target, source)
    # Longitudes that differ by a turn mean the same meridian.
    turn = 2 * np.pi / source.axis_info[0].unit_conversion_factor if source.is_geographic else 0.0
    starts, floors, ends, ceilings = boxes.T
    near = np.zeros(len(boxes), bool)
    for rectangle in rectangles:
        left, bottom, right, top = back.transform_bounds(*rectangle)
        if not np.isfinite([left, bottom, right, top]).all():
            return np.ones(len(boxes), bool)
        if left > right:  # across the meridian of 180 degrees
            right += turn
        wide, high = right - left, top - bottom
        level = (floors <= top + high) & (ceilings >= bottom - high)
        for shift in {-turn, 0.0, turn}:
            near |= level & (starts <= right + wide + shift) & (ends >= left - wide + shift)
    return near


def _transformer(source: pyproj.CRS, target: pyproj.CRS) -> pyproj.Transformer:
    import pyproj

    try:
        return pyproj.Transformer.from_crs(source, target, always_xy=True)
    except pyproj.exceptions.ProjError as error:
        raise ValueError(
            f"there is no transformation from {source.name} to {target.name} ({error})."
        ) from error


def map_polygons(polygons: np.ndarray, project: Project, tolerance: float) -> np.ndarray:
    """Polygons whose coordinates a function maps; see `project_polygons`."""
    import shapely

    kind, points, (rings, *others) = shapely.to_ragged_array(polygons)
    points, rings = _with_curves(points, rings.astype(np.int64), project, tolerance)
    return shapely.from_ragged_array(kind, project(points), (rings, *others))


def _with_curves(
    points: np.ndarray, rings: np.ndarray, project: Project, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Adds points to edges that do not stay straight.

    Args:
        points: `(N, 2)`.
        rings: First point of each ring, and the number of points.

    Returns:
        Points and rings.
    """
    edges = np.ones(len(points), bool)  # from a point to the next one, where it is to be tested
    edges[rings[1:] - 1] = False
    for _ in range(DEEPEST):
        first = np.flatnonzero(edges)
        start, end = points[first], points[first + 1]
        chord = project(start), project(end)
        tested = (project(start + part * (end - start)) for part in TESTED)
        straight = np.maximum(*(_distances(inner, *chord) for inner in tested)) <= tolerance
        known = np.isfinite(np.concatenate(chord, axis=1)).any(axis=1)  # else splits do not end
        first = first[known & ~straight]
        if not len(first):
            break
        middles = (points[first] + points[first + 1]) / 2
        points = np.insert(points, first + 1, middles, axis=0)
        edges = np.zeros(len(points), bool)
        halves = first + np.arange(len(first))  # each insertion before moves an edge by one
        edges[halves] = edges[halves + 1] = True
        rings = rings + np.searchsorted(first, rings, side="left")
    return points, rings


def _distances(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Distance of points `(N, 2)` from the lines between two others; NaN where one is infinite."""
    with np.errstate(invalid="ignore"):
        chord, away = end - start, points - start
        length = np.hypot(*chord.T)
        across = np.abs(chord[:, 0] * away[:, 1] - chord[:, 1] * away[:, 0])
        return np.where(length > 0, across / np.maximum(length, 1e-300), np.hypot(*away.T))
