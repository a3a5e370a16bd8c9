"""Corners of the components of a block, from which their polygons follow."""

from __future__ import annotations

import typing

import numpy as np

UNWANTED = 255  # pixels without data, and those of classes that are left out
OUTSIDE = 256  # added to the values around a block: nothing there is connected with it

# What meets at a corner, as bits.
HORIZONTAL = 1  # a horizontal edge
VERTICAL = 2  # a vertical edge
RIGHT = 4  # an edge that goes to the right
DOWN = 8  # an edge that goes down
BELOW = 16  # the polygon is below the horizontal edge
BESIDE = 32  # the polygon is on the right of the vertical edge
DIAGONAL = 64  # the pixel on the other side of the corner has the same class


class Corners(typing.NamedTuple):
    """Corners of polygons, arrays of one length.

    A point where polygons touch is a corner of each of them.

    Attributes:
        x: Column of the grid line.
        y: Row of the grid line.
        component: Component that the corner belongs to.
        kind: Bits as above.
    """

    x: np.ndarray
    y: np.ndarray
    component: np.ndarray
    kind: np.ndarray


def find_corners(around: np.ndarray, labels: np.ndarray, *, limit: int, all_nodes: bool) -> Corners:
    """The corners of the components of a block.

    On a straight edge there is one, too, where two other polygons meet ("node"): always at the
    border of the block, so that polygons of neighbouring blocks have the same points there.

    Args:
        around: Values of the block with one pixel around it, `(H + 2, W + 2)` uint16; there
            `OUTSIDE` is added.
        labels: Component of each pixel of the block, `(H, W)`.
        limit: Components of this value or a higher one are left out.
        all_nodes: Whether to find nodes also within the block.
    """
    height, width = labels.shape
    across = around[:, 1:] != around[:, :-1]
    along = around[1:] != around[:-1]
    turns = (across[:-1] | across[1:]) & (along[:, :-1] | along[:, 1:])
    y, x = (each.astype(np.int32) for each in np.nonzero(turns))
    # The pixels around each point: 0 and 1 above, 2 and 3 below; of pixel p, the neighbours are
    # p ^ 1 in the row and p ^ 2 in the column, and p ^ 3 is on the other side of the point.
    pixels = [around[y + row, x + column] for row in (0, 1) for column in (0, 1)]
    in_row = {pair: pixels[pair] == pixels[pair + 1] for pair in (0, 2)}
    in_column = {pair: pixels[pair] == pixels[pair + 2] for pair in (0, 1)}
    falling, rising = pixels[0] == pixels[3], pixels[1] == pixels[2]
    diagonal = (falling, rising, rising, falling)
    is_node = np.ones(len(x), bool)
    if not all_nodes:
        is_node = (x == 0) | (x == width) | (y == 0) | (y == height)

    parts: list[Corners] = []

    def add(found: np.ndarray, pixel: int, kind: int, saddles: bool = False) -> None:
        at = np.flatnonzero(found & (pixels[pixel] < limit))
        rows, columns = y[at] + (pixel >> 1) - 1, x[at] + (pixel & 1) - 1
        kinds = np.full(len(at), kind, np.uint8)
        if saddles:
            kinds[diagonal[pixel][at]] |= DIAGONAL
        parts.append(Corners(x[at], y[at], labels[rows, columns], kinds))

    for p in range(4):
        right, below = p & 1, p >> 1
        row, other_row = in_row[p & 2], in_row[p & 2 ^ 2]
        column, other_column = in_column[p & 1], in_column[p & 1 ^ 1]
        ends = HORIZONTAL | VERTICAL | RIGHT * right | DOWN * below
        add(~row & ~column, p, ends | BELOW * below | BESIDE * right, saddles=True)
        add(  # the other three pixels are of one component
            other_row & other_column & ~row,
            p ^ 3,
            ends | BELOW * (1 - below) | BESIDE * (1 - right),
        )
    for pair, below in ((0, 0), (2, 1)):
        found = is_node & in_row[pair] & ~in_row[pair ^ 2] & ~in_column[0] & ~in_column[1]
        add(found, pair, HORIZONTAL | RIGHT | BELOW * below)
    for pair, right in ((0, 0), (1, 1)):
        found = is_node & in_column[pair] & ~in_column[pair ^ 1] & ~in_row[0] & ~in_row[2]
        add(found, pair, VERTICAL | DOWN | BESIDE * right)
    return Corners(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
