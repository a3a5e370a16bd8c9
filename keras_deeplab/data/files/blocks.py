"""Blocks of labelled ground for validation, drawn at random on a coarse grid over scenes."""

from __future__ import annotations

import typing
from collections.abc import Sequence

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab.data.files.windows import Cells

DRAWS = 50  # layouts, of which the one is taken that leaves most ground for the training

MOST_OFF = 1 / 3  # of the share; blocks consist of whole cells


class CellBlock(typing.NamedTuple):
    """A rectangle of cells.

    Attributes:
        image: Number of the image.
        rows: First row of cells, and the one after the last.
        columns: First column, and the one after the last.
    """

    image: int
    rows: tuple[int, int]
    columns: tuple[int, int]


def draw_blocks(
    weights: Sequence[np.ndarray], fraction: float, count: int, seed: int, margin: int
) -> list[CellBlock]:
    """Draws blocks that together have a share of all labelled pixels.

    Each is grown around a random labelled cell to a square of its share; none overlaps another. Of
    several layouts the one is taken that leaves most labelled pixels to the training.

    Args:
        weights: For each image the labelled pixels of each cell, `(rows, columns)`.
        fraction: Share of the labelled pixels in the blocks.
        count: Number of blocks.
        seed: Seed of the draws.
        margin: Cells around a block that are not for the training either.

    Raises:
        ValueError: When there is no room for the blocks, or nothing is left for the training.
    """
    random = np.random.default_rng(seed)
    cells = Cells(1, weights)
    layouts = (_layout(weights, cells, fraction, count, random) for _ in range(DRAWS))
    left = [(_left(weights, blocks, margin), blocks) for blocks in layouts if blocks]
    most, best = max(left, key=lambda found: found[0], default=(0, []))
    if not most:
        problem = "leave no ground for the training" if best else "have no room on the scenes"
        raise InputError(
            f"{count} blocks with {fraction:.0%} of the labelled ground {problem}. Take fewer "
            "blocks (--val-blocks), a smaller crop, or name the ground (--val-area)."
        )
    return best


def _layout(
    weights: Sequence[np.ndarray],
    cells: Cells,
    fraction: float,
    count: int,
    random: np.random.Generator,
) -> list[CellBlock]:
    """Blocks at random places; none if two of them overlap, or they miss their share."""
    wanted = missing = fraction * sum(float(image.sum()) for image in weights)
    blocks: list[CellBlock] = []
    for number in range(count):
        image, row, column = cells.draw(random)
        block = _grown(image, weights[image], row, column, missing / (count - number))
        if any(_overlap(block, other) for other in blocks):
            return []
        blocks.append(block)
        missing -= weights[image][slice(*block.rows), slice(*block.columns)].sum()
    return blocks if abs(missing) <= MOST_OFF * wanted else []


def _grown(image: int, weights: np.ndarray, row: int, column: int, target: float) -> CellBlock:
    """The square around a cell whose weight is nearest to a target."""
    best, nearest = None, np.inf
    for side in range(1, max(weights.shape) + 1):
        rows, columns = (
            _centred(place, side, length)
            for place, length in zip((row, column), weights.shape, strict=True)
        )
        weight = weights[slice(*rows), slice(*columns)].sum()
        if abs(weight - target) < nearest:
            best, nearest = CellBlock(image, rows, columns), abs(weight - target)
        if weight >= target:
            break
    assert best is not None
    return best


def _centred(place: int, side: int, length: int) -> tuple[int, int]:
    """Start and end of an interval around a place, moved into the axis."""
    side = min(side, length)
    start = min(max(place - side // 2, 0), length - side)
    return start, start + side


def _overlap(first: CellBlock, second: CellBlock) -> bool:
    return first.image == second.image and all(
        one[0] < other[1] and other[0] < one[1]
        for one, other in ((first.rows, second.rows), (first.columns, second.columns))
    )


def _left(weights: Sequence[np.ndarray], blocks: Sequence[CellBlock], margin: int) -> int:
    """The weight outside of blocks and their margins."""
    left = [image.copy() for image in weights]
    for image, rows, columns in blocks:
        near = (slice(max(start - margin, 0), end + margin) for start, end in (rows, columns))
        left[image][tuple(near)] = 0
    return int(sum(image.sum() for image in left))
