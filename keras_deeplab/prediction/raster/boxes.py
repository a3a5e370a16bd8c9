"""Parts of a scene, and which pixels of an image they are."""

from __future__ import annotations

import itertools
import math
import typing

if typing.TYPE_CHECKING:
    from rasterio import DatasetReader
    from rasterio.windows import Window


class Box(typing.NamedTuple):
    """A part of a scene in its pixels: rows and columns from the first to before the last."""

    top: float
    bottom: float
    left: float
    right: float


class Part(typing.NamedTuple):
    """A part of a scene of whole pixels: rows and columns from the first to before the last."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    @property
    def box(self) -> Box:
        """The part as a `Box`."""
        return Box(*self)


def box_of(window: Window) -> Box:
    """The `Box` of a window."""
    return Box(
        window.row_off,
        window.row_off + window.height,
        window.col_off,
        window.col_off + window.width,
    )


def window_of(box: Box) -> Window:
    """The window of a `Box`."""
    from rasterio.windows import Window

    return Window(box.left, box.top, box.right - box.left, box.bottom - box.top)


def block_parts(box: Box, block: tuple[int, int]) -> list[Box]:
    """The parts of a box of a raster that are in different blocks of its file."""
    rows = _cuts(box.top, box.bottom, block[0])
    columns = _cuts(box.left, box.right, block[1])
    return [
        Box(top, bottom, left, right)
        for top, bottom in itertools.pairwise(rows)
        for left, right in itertools.pairwise(columns)
    ]


def _cuts(first: float, last: float, step: int) -> list[float]:
    inside = range((math.floor(first) // step + 1) * step, math.ceil(last), step)
    return [first, *inside, last]


def overlap(box: Box, raster: DatasetReader, top: int, left: int) -> tuple[Box, Window] | None:
    """The part of a box that a raster has, in the scene's pixels and as a window of the raster."""
    inside = Box(
        max(box.top, top),
        min(box.bottom, top + raster.height),
        max(box.left, left),
        min(box.right, left + raster.width),
    )
    if inside.top >= inside.bottom or inside.left >= inside.right:
        return None
    return inside, window_of(
        Box(inside.top - top, inside.bottom - top, inside.left - left, inside.right - left)
    )


def covered_pixels(inside: Box, box: Box, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of an image of a box that a part of it covers."""
    rows = size[0] / (box.bottom - box.top)
    columns = size[1] / (box.right - box.left)
    return (
        slice(round((inside.top - box.top) * rows), round((inside.bottom - box.top) * rows)),
        slice(
            round((inside.left - box.left) * columns), round((inside.right - box.left) * columns)
        ),
    )
