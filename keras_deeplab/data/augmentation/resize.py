"""Windows of a resized picture, computed without resizing the rest of it.

The arithmetic is that of OpenCV's `resize` with half-pixel centres and no antialiasing. Images are
`(H, W, C)` uint8 or float32, label maps `(H, W)` uint8.
"""

from typing import NamedTuple

import tensorflow as tf

# OpenCV's fixed-point sums drop bits before they are rounded: an eighth of a level on average.
ROUNDING = 0.5 - 0.125


def keep_ratio_size(old, scale):
    """The size that fits a picture into a scale and keeps its ratio.

    Args:
        old: Height and width, two integers.
        scale: Two integers in either order, the longest long side and the longest short side.

    Returns:
        `(2,)` int32, height and width: `int(side * f + 0.5)`, at least 1, with
        `f = min(max(scale) / max(old), min(scale) / min(old))`.
    """
    old, scale = tf.cast(old, tf.float64), tf.cast(scale, tf.float64)
    factor = tf.minimum(
        tf.reduce_max(scale) / tf.reduce_max(old), tf.reduce_min(scale) / tf.reduce_min(old)
    )
    return tf.maximum(tf.cast(old * factor + 0.5, tf.int32), 1)


def nearest_window(label, new, corner, size):
    """A window of a label map resized to `new`: pixel `floor(x * old / new)` of the old one.

    Args:
        label: `(H, W)` uint8.
        new: Height and width of the resized map.
        corner: Top and left of the window in it.
        size: Height and width of the window.

    Returns:
        `size` uint8.
    """
    old = tf.shape(label)
    for axis in (0, 1):
        index = (corner[axis] + tf.range(size[axis])) * old[axis] // new[axis]
        # Gathering rows and transposing is five times as fast as gathering columns.
        label = tf.transpose(tf.gather(label, index))
    return label


def bilinear_window(image, new, corner, side):
    """A square window of an image resized to `new`, bilinear.

    A uint8 image is rounded as OpenCV's fixed-point arithmetic rounds on average: more than nine
    pixels in ten are equal, the others one level off.

    Args:
        image: `(H, W, C)` uint8 or float32.
        new: Height and width of the resized image.
        corner: Top and left of the window in it.
        side: Side of the window, a Python integer: the arithmetic is compiled once for it. Beyond
            the resized image its edge is repeated.

    Returns:
        `(side, C, side)` of the image's dtype: columns, bands, rows; see `to_hwc`. A long run of
        pixels of one band is what a processor is fastest with.
    """
    shape, bands = tf.shape(image), image.shape[-1]
    rows, columns = (_taps(shape[i], new[i], corner[i], side) for i in (0, 1))
    # Only what the window needs of a picture that may be far larger.
    image = image[rows.first : rows.last + 1, columns.first : columns.last + 1]
    width = tf.shape(image)[1]
    image = tf.reshape(image, [-1, width * bands])
    neighbours = []
    for row_index in (rows.low, rows.high):
        # Rows are gathered in long runs; the transposition makes rows of the columns.
        turned = tf.transpose(tf.gather(image, row_index))
        turned = tf.reshape(turned, [width, bands * side])
        for column_index in (columns.low, columns.high):
            neighbours.append(tf.gather(turned, column_index))
    neighbours = [tf.reshape(values, [side, bands, side]) for values in neighbours]
    return _blend(neighbours, rows.weight, columns.weight)


def to_hwc(window, size):
    """The first `size` rows and columns, `(H, W, C)`, of a window `(columns, C, rows)`."""
    columns, bands, rows = window.shape
    # Of two dimensions, a transposition is twice as fast as of three.
    turned = tf.transpose(tf.reshape(window, [columns * bands, rows]))
    return tf.reshape(turned, [rows, columns, bands])[: size[0], : size[1]]


class Taps(NamedTuple):
    """Where the pixels of a window come from along one axis.

    Attributes:
        first: The first source pixel of all, from which `low` and `high` count.
        last: The last source pixel of all.
        low: For each pixel of the window, the first of its two source pixels.
        high: The second.
        weight: Weight of the second, float32.
    """

    first: tf.Tensor
    last: tf.Tensor
    low: tf.Tensor
    high: tf.Tensor
    weight: tf.Tensor


def _taps(old, new, corner, side):
    step = tf.cast(old, tf.float64) / tf.cast(new, tf.float64)
    center = (tf.cast(corner + tf.range(side), tf.float64) + 0.5) * step - 0.5
    center = tf.clip_by_value(center, 0.0, tf.cast(old - 1, tf.float64))
    low = tf.cast(center, tf.int32)
    high = tf.minimum(low + 1, old - 1)
    weight = tf.cast(center - tf.floor(center), tf.float32)
    return Taps(low[0], high[-1], low - low[0], high - low[0], weight)


@tf.function(jit_compile=True)  # one pass over the pixels instead of one for each operation
def _blend(neighbours, row_weight, column_weight):
    """Blends top left, top right, bottom left and bottom right, each `(columns, C, rows)`."""
    top_left, top_right, bottom_left, bottom_right = (tf.cast(x, tf.float32) for x in neighbours)
    left = top_left + (bottom_left - top_left) * row_weight
    right = top_right + (bottom_right - top_right) * row_weight
    values = left + (right - left) * column_weight[:, tf.newaxis, tf.newaxis]
    return tf.cast(values + ROUNDING, tf.uint8) if neighbours[0].dtype == tf.uint8 else values
