"""Polygons of a class map, block by block in bounded memory."""

from __future__ import annotations

import typing
from collections.abc import Iterator

import numpy as np

from keras_deeplab.prediction.vector.components import find_components
from keras_deeplab.prediction.vector.corners import OUTSIDE, UNWANTED, find_corners
from keras_deeplab.prediction.vector.parts import Parts
from keras_deeplab.prediction.vector.rings import trace_polygons
from keras_deeplab.prediction.vector.seams import NONE, Seams

BLOCK = 1024  # pixels a side


class PixelReader(typing.Protocol):
    """What is read from a map."""

    height: int
    width: int

    def values(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        """Classes of a part, which may go beyond the map; `UNWANTED` where there is none."""

    def weights(self, top: int, left: int, height: int, width: int) -> list[np.ndarray]:
        """Square metres, confidence, and whether there is one, of each pixel of a part."""


def find_polygons(
    reader: PixelReader, *, tolerance: float = 0, block: int = BLOCK
) -> Iterator[tuple[Parts, int]]:
    """Yields finished polygons, and how many pixels of the map have been read for them.

    Only polygons that reach the next strip of blocks are kept until they are finished.

    Args:
        reader: The map.
        tolerance: Tolerance of the simplification in pixels; 0 for exact polygons. The simplified
            polygons of a block fit together, and the points on its border are kept.
        block: Side of the blocks.
    """
    seams = Seams(reader.width, straighten=not tolerance)
    for top in range(0, reader.height, block):
        rows = min(block, reader.height - top)
        for left in range(0, reader.width, block):
            columns = min(block, reader.width - left)
            parts, numbers = _cut(reader, (top, left, rows, columns), tolerance)
            yield seams.add(parts, numbers, left), rows * columns
        yield seams.join(last=top + rows == reader.height), 0


def _cut(
    reader: PixelReader, box: tuple[int, int, int, int], tolerance: float
) -> tuple[Parts, np.ndarray]:
    """The parts in one block, and the number of that of each pixel, or `NONE`."""
    import shapely

    top, left, rows, columns = box
    around = reader.values(top - 1, left - 1, rows + 2, columns + 2).astype(np.uint16)
    components = find_components(around[1:-1, 1:-1])
    for edge in (around[0], around[-1], around[1:-1, 0], around[1:-1, -1]):
        edge += OUTSIDE
    corners = find_corners(
        around,
        components.labels,
        limit=OUTSIDE if tolerance else UNWANTED,  # without gaps, where it is simplified
        all_nodes=tolerance > 0,
    )
    traced, shapes = trace_polygons(corners, (left, top))
    if tolerance:
        shapes = shapely.coverage_simplify(shapes, tolerance, simplify_boundary=False)
    wanted = components.values[traced] != UNWANTED
    traced, shapes = traced[wanted], shapes[wanted]
    sums = [components.sums(each)[traced] for each in reader.weights(*box)]
    totals = np.column_stack((components.pixels[traced], *sums))
    numbers = np.full(len(components.values), NONE, np.int64)
    numbers[traced] = np.arange(len(traced))
    return Parts(components.values[traced], totals, shapes), numbers[components.labels]
