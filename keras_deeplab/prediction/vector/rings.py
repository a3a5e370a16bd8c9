"""Polygons from their corners, all of a block at once.

On each line of the grid, the horizontal edges of a polygon that have it below them are separate
intervals: sorted along the line, its corners there are the ends of one after the other. The same
holds for those above, and for vertical edges. So sorting finds the next corner of each corner.
"""

from __future__ import annotations

import numpy as np

from keras_deeplab.prediction.vector.corners import (
    BELOW,
    BESIDE,
    DIAGONAL,
    DOWN,
    HORIZONTAL,
    RIGHT,
    VERTICAL,
    Corners,
)


def trace_polygons(
    corners: Corners, origin: tuple[int, int] = (0, 0)
) -> tuple[np.ndarray, np.ndarray]:
    """The polygon of each component, with holes; exteriors are counter-clockwise on the screen.

    Args:
        corners: All corners of these components.
        origin: Column and row of the first pixel, added to the points.

    Returns:
        Components, ascending; and the `shapely` polygon of each, in columns and rows.
    """
    if not len(corners.x):
        return np.zeros(0, np.int64), np.zeros(0, object)
    saddles = np.flatnonzero(corners.kind & DIAGONAL)
    x, y = corners.x + float(origin[0]), corners.y + float(origin[1])
    return _assemble(x, y, corners.component, _following(corners), saddles)


def join_polygons(polygons: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Joins the polygons of each group, which share whole edges and do not overlap.

    Args:
        polygons: `shapely` polygons.
        group: Group of each, all numbers from 0 on.

    Returns:
        The polygon of each group. Points remain where shared edges ended.
    """
    import shapely

    # An edge is known by its start. Shared ones go, each with its opposite.
    polygons = shapely.orient_polygons(polygons, exterior_cw=True)  # on the screen the other way
    _, points, (offsets, of_polygons) = shapely.to_ragged_array(polygons)
    at, after = _edges(offsets)
    x, y = points[at].T
    group = np.repeat(np.repeat(group, np.diff(of_polygons)), np.diff(offsets) - 1)
    start = _numbered(group, y, x)
    end = start[after]
    key = np.minimum(start, end) * len(start) + np.maximum(start, end)
    order = np.argsort(key)
    shared = np.flatnonzero(key[order[1:]] == key[order[:-1]])
    kept = np.ones(len(key), bool)
    kept[order[shared]] = kept[order[shared + 1]] = False
    x, y, group, start, end = (each[kept] for each in (x, y, group, start, end))
    # Where a polygon touches itself, any of the edges that go on will do: `_split` sees to it.
    following = np.empty(len(start), np.int64)
    following[np.argsort(end)] = np.argsort(start)
    touching = np.flatnonzero((np.bincount(start) > 1)[start])
    return _assemble(x, y, group, following, touching)[1]


def _edges(offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The edges of closed rings.

    Args:
        offsets: Offsets of the rings among the points, as GeoArrow has them.

    Returns:
        Index of the first point of each edge, and number of the next edge of its ring.
    """
    is_end = np.zeros(offsets[-1], bool)
    is_end[offsets[1:] - 1] = True
    after = np.arange(1, len(is_end) - len(offsets) + 2)
    starts = offsets - np.arange(len(offsets))
    after[starts[1:] - 1] = starts[:-1]
    return np.flatnonzero(~is_end), after


def _numbered(*columns: np.ndarray) -> np.ndarray:
    """A number for each row, the same for rows that are equal."""
    order = np.lexsort(columns)
    differs = np.logical_or.reduce([each[order[1:]] != each[order[:-1]] for each in columns])
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.cumsum(np.append(0, differs))
    return numbers


def _assemble(
    x: np.ndarray, y: np.ndarray, group: np.ndarray, following: np.ndarray, touching: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Groups, ascending, and the polygon of each, from points and the next one of each.

    Args:
        x: Columns.
        y: Rows.
        group: Polygon that each point belongs to.
        following: Index of the next point; exteriors are counter-clockwise on the screen.
        touching: Indices of the points at which a polygon may touch itself.
    """
    import shapely

    ring = _cycles(following)
    following, ring = _split(x, y, following, ring, touching)
    first = np.zeros(ring.max() + 1, np.int64)
    first[ring[::-1]] = np.arange(len(ring))[::-1]
    areas = np.bincount(ring, y * x[following] - x * y[following])  # twice; y points down
    is_hole = areas < 0
    order = np.lexsort((first, is_hole, group[first]))
    along = _in_order(following, first[order])
    points, offsets = _close_rings(np.column_stack((x, y))[along], np.bincount(ring)[order])
    exteriors = np.flatnonzero(~is_hole[order])
    polygons = shapely.from_ragged_array(
        shapely.GeometryType.POLYGON, points, (offsets, np.append(exteriors, len(order)))
    )
    return group[first[order[exteriors]]], polygons


def _following(corners: Corners) -> np.ndarray:
    """Index of the next corner of each corner."""
    x, y, component, kind = corners
    following = np.empty(len(x), np.int64)
    for has_edge, goes_on, side, line, place in (
        (HORIZONTAL, RIGHT, BELOW, y, x),
        (VERTICAL, DOWN, BESIDE, x, y),
    ):
        at = np.flatnonzero(kind & has_edge)
        key = component[at].astype(np.int64) * (2 * (int(line.max()) + 1)) + 2 * line[at]
        key = (key + ((kind[at] & side) > 0)) * (int(place.max()) + 1) + place[at]
        at = at[np.argsort(key)]
        start = np.flatnonzero(kind[at] & goes_on)
        near, far = at[start], at[start + 1]
        # Counter-clockwise on the screen: rightwards below a polygon, downwards on its left.
        forward = ((kind[near] & side) > 0) == (has_edge == VERTICAL)
        following[np.where(forward, near, far)] = np.where(forward, far, near)
    return following


def _cycles(following: np.ndarray) -> np.ndarray:
    """Number of the cycle that each index is on."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    count = len(following)
    graph = csr_array((np.ones(count), following, np.arange(count + 1)), shape=(count, count))
    return connected_components(graph, connection="strong")[1]


def _split(
    x: np.ndarray, y: np.ndarray, following: np.ndarray, ring: np.ndarray, touching: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Splits each ring that touches itself into rings that do not."""
    keys = np.stack((x[touching], y[touching], ring[touching]))
    order = np.lexsort(keys)
    keys = keys[:, order]
    twice = np.flatnonzero((keys[:, 1:] == keys[:, :-1]).all(axis=0))
    if not len(twice):
        return following, ring
    one, other = touching[order[twice]], touching[order[twice + 1]]
    following = following.copy()
    following[one], following[other] = following[other], following[one]
    changed = np.zeros(ring.max() + 1, bool)
    changed[ring[one]] = True
    at = np.flatnonzero(changed[ring])
    position = np.empty(len(ring), np.int64)
    position[at] = np.arange(len(at))
    ring = ring.astype(np.int64)
    ring[at] = len(changed) + _cycles(position[following[at]])
    used = np.bincount(ring) > 0
    return following, (np.cumsum(used) - 1)[ring]


def _in_order(following: np.ndarray, first: np.ndarray) -> np.ndarray:
    """All indices, cycle by cycle, each from its first one on."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order

    count = len(following)
    before = np.empty(count, np.int64)
    before[following] = np.arange(count)
    path = following.copy()
    path[before[first]] = np.roll(first, -1)  # one cycle of all
    graph = csr_array((np.ones(count), path, np.arange(count + 1)), shape=(count, count))
    return breadth_first_order(graph, first[0], return_predecessors=False)


def _close_rings(points: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Repeats the first point of each ring at its end.

    Args:
        points: `(N, 2)`, ring by ring.
        sizes: Points of each ring.

    Returns:
        Points, and the offsets of the rings among them, as GeoArrow has them.
    """
    ends = np.cumsum(sizes)
    offsets = np.append(0, ends + np.arange(1, len(sizes) + 1))
    closed = np.insert(points, ends, points[ends - sizes], axis=0)
    return closed, offsets


def without_straight_points(polygons: np.ndarray) -> np.ndarray:
    """Polygons without points at which the border does not turn."""
    import shapely

    if not len(polygons):
        return polygons
    kind, points, (offsets, of_polygons) = shapely.to_ragged_array(polygons)
    at, after = _edges(offsets)
    before = np.empty_like(after)
    before[after] = np.arange(len(after))
    points = points[at]
    arriving, leaving = points - points[before], points[after] - points
    turns = arriving[:, 0] * leaving[:, 1] != arriving[:, 1] * leaving[:, 0]
    starts = offsets[:-1] - np.arange(len(offsets) - 1)
    sizes = np.add.reduceat(turns, starts, dtype=np.int64)
    points, offsets = _close_rings(points[turns], sizes)
    return shapely.from_ragged_array(kind, points, (offsets, of_polygons))
