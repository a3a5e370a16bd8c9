"""Windows of a resized image, computed without resizing the rest of it.

The arithmetic matches OpenCV's `resize` with half-pixel centres and no antialiasing. Images are
`(H, W, C)` uint8 or float32, label maps `(H, W)` uint8.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

# OpenCV's fixed-point sums lose bits before rounding: an eighth of a level on average.
ROUNDING = 0.5 - 0.125


def keep_ratio_size(old: tf.Tensor | Sequence[int], scale: tf.Tensor | Sequence[int]) -> tf.Tensor:
    """The size of an image resized to fit into a scale, keeping its aspect ratio.

    Args:
        old: Height and width, two integers.
        scale: Two integers in any order: the limits of the long and of the short side.

    Returns:
        `(2,)` int32, height and width: `int(side * f + 0.5)`, at least 1, with
        `f = min(max(scale) / max(old), min(scale) / min(old))`.
    """
    old, scale = tf.cast(old, tf.float64), tf.cast(scale, tf.float64)
    factor = tf.minimum(
        tf.reduce_max(scale) / tf.reduce_max(old), tf.reduce_min(scale) / tf.reduce_min(old)
    )
    return tf.maximum(tf.cast(old * factor + 0.5, tf.int32), 1)


def nearest_window(
    label: tf.Tensor, new: tf.Tensor, corner: tf.Tensor, size: tf.Tensor
) -> tf.Tensor:
    """A window of a label map resized to `new`: pixel `floor(x * old / new)` of the old one.

    Args:
        label: `(H, W)` uint8.
        new: Height and width of the resized map.
        corner: First row and column of the window in the resized map.
        size: Height and width of the window.

    Returns:
        uint8 of shape `size`.
    """
    # int64: the product of two sides exceeds 31 bits.
    old, new = tf.shape(label, tf.int64), tf.cast(new, tf.int64)
    corner, size = tf.cast(corner, tf.int64), tf.cast(size, tf.int64)
    for axis in (0, 1):
        index = (corner[axis] + tf.range(size[axis])) * old[axis] // new[axis]
        # Gathering rows and transposing is five times as fast as gathering columns.
        label = tf.transpose(tf.gather(label, index))
    return label


def bilinear_window(image: tf.Tensor, new: tf.Tensor, corner: tf.Tensor, side: int) -> tf.Tensor:
    """A square window of an image resized to `new`, bilinear.

    A uint8 image is rounded as OpenCV's fixed-point arithmetic does on average: more than 90 % of
    the pixels are equal, the others differ by one level.

    Args:
        image: `(H, W, C)` uint8 or float32.
        new: Height and width of the resized image.
        corner: First row and column of the window in the resized image.
        side: Side of the window, for which the arithmetic is compiled once. Outside the resized
            image its edge is repeated.

    Returns:
        `(side, C, side)` of the image's dtype: columns, bands, rows; see `to_hwc`. In this layout
        the pixels of a band are contiguous, which is fastest to process.
    """
    shape, bands = tf.shape(image), image.shape[-1]
    rows, columns = (_taps(shape[i], new[i], corner[i], side) for i in (0, 1))
    # Only the part of the image that the window needs.
    image = image[rows.first : rows.last + 1, columns.first : columns.last + 1]
    width = tf.shape(image)[1]
    image = tf.reshape(image, [-1, width * bands])
    neighbours = []
    for row_index in (rows.low, rows.high):
        # Gathering contiguous rows is fast; the transposition turns columns into rows.
        transposed = tf.transpose(tf.gather(image, row_index))
        transposed = tf.reshape(transposed, [width, bands * side])
        for column_index in (columns.low, columns.high):
            neighbours.append(tf.gather(transposed, column_index))
    neighbours = [tf.reshape(values, [side, bands, side]) for values in neighbours]
    return _blend(neighbours, rows.weight, columns.weight)


def to_hwc(window: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """The first `size` rows and columns, `(H, W, C)`, of a window `(columns, C, rows)`."""
    columns, bands, rows = window.shape
    # Transposing two dimensions is twice as fast as three.
    transposed = tf.transpose(tf.reshape(window, [columns * bands, rows]))
    return tf.reshape(transposed, [rows, columns, bands])[: size[0], : size[1]]


class Taps(NamedTuple):
    """Source pixels of a window along one axis.

    Attributes:
        first: First source pixel of the window; `low` and `high` count from it.
        last: Last source pixel of the window.
        low: For each pixel of the window, the first of its two source pixels.
        high: The second.
        weight: Weight of the second, float32.
    """

    first: tf.Tensor
    last: tf.Tensor
    low: tf.Tensor
    high: tf.Tensor
    weight: tf.Tensor


def _taps(old: tf.Tensor, new: tf.Tensor, corner: tf.Tensor, side: int) -> Taps:
    step = tf.cast(old, tf.float64) / tf.cast(new, tf.float64)
    center = (tf.cast(corner + tf.range(side), tf.float64) + 0.5) * step - 0.5
    center = tf.clip_by_value(center, 0.0, tf.cast(old - 1, tf.float64))
    low = tf.cast(center, tf.int32)
    high = tf.minimum(low + 1, old - 1)
    weight = tf.cast(center - tf.floor(center), tf.float32)
    return Taps(low[0], high[-1], low - low[0], high - low[0], weight)


@tf.function(jit_compile=True)  # one pass over the pixels instead of one per operation
def _blend(
    neighbours: Sequence[tf.Tensor], row_weight: tf.Tensor, column_weight: tf.Tensor
) -> tf.Tensor:
    """Blends top left, top right, bottom left and bottom right, each `(columns, C, rows)`."""
    top_left, top_right, bottom_left, bottom_right = (tf.cast(x, tf.float32) for x in neighbours)
    left = top_left + (bottom_left - top_left) * row_weight
    right = top_right + (bottom_right - top_right) * row_weight
    values = left + (right - left) * column_weight[:, tf.newaxis, tf.newaxis]
    return tf.cast(values + ROUNDING, tf.uint8) if neighbours[0].dtype == tf.uint8 else values
