"""Random crop, flip, rotation and padding of an image and its label map.

Every function is stateless: the same seed gives the same result, in any order and in parallel.
Images are `(H, W, C)` uint8 or float32, label maps `(H, W)` uint8.
"""

import tensorflow as tf

from keras_deeplab.data.augmentation.resize import bilinear_window, keep_ratio_size, nearest_window
from keras_deeplab.data.class_table import IGNORE_INDEX

REDRAWS = 10  # of a crop in which one class dominates (reference: RandomCrop)


def random_crop_of_resized(
    image, label, seed, *, crop, base_size, scale_range, max_class_share=0.75
):
    """A crop of the image resized by a random ratio, without resizing the rest of it.

    The values are those of resizing the whole picture and cropping after: only the pixels of the
    crop are computed.

    Args:
        image: `(H, W, C)` uint8 or float32.
        label: `(H, W)` uint8.
        seed: Two integers.
        crop: Side of the crop in pixels; a smaller picture is kept whole.
        base_size: Long and short side that ratio 1 resizes to, keeping the picture's own ratio, or
            `None` for the picture's own size.
        scale_range: Lowest and highest ratio, for example `(0.5, 2.0)`.
        max_class_share: A crop is drawn again, up to 10 times, while it holds fewer than two
            classes or one class covers this share of its labelled pixels or more. The last draw
            is kept.

    Returns:
        `(window, label)`: `(crop, C, crop)`, to be transposed with `resize.to_hwc`, and the label
        map of at most `crop` pixels a side.
    """
    ratio_seed, crop_seed = tf.unstack(tf.random.split(seed, 2))
    ratio = tf.random.stateless_uniform([], ratio_seed, *scale_range, dtype=tf.float64)
    old = tf.shape(label)
    base = old if base_size is None else tf.constant(base_size)
    scaled = tf.cast(tf.cast(base, tf.float64) * ratio, tf.int32)
    new = keep_ratio_size(old, scaled)
    size = tf.minimum(new, crop)
    draws = tf.random.stateless_uniform([REDRAWS + 1, 2], crop_seed, dtype=tf.float64)
    corners = tf.cast(draws * tf.cast(new - size + 1, tf.float64), tf.int32)

    def draw(index):
        return nearest_window(label, new, corners[index], size)

    def dominated(index, window):
        return tf.logical_and(index < REDRAWS, ~_is_mixed(window, max_class_share))

    index, window = tf.while_loop(
        dominated,
        lambda index, _: (index + 1, draw(index + 1)),
        (0, draw(0)),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, None])),
    )
    return bilinear_window(image, new, corners[index], crop), window


def _is_mixed(label, max_class_share):
    counts = tf.raw_ops.DenseBincount(
        input=tf.cast(tf.reshape(label, [-1]), tf.int32),
        size=IGNORE_INDEX + 1,
        weights=tf.constant([], tf.int32),
    )[:IGNORE_INDEX]
    most, total = tf.reduce_max(counts), tf.reduce_sum(counts)
    share = tf.cast(most, tf.float32) / tf.cast(tf.maximum(total, 1), tf.float32)
    return tf.logical_and(tf.math.count_nonzero(counts) > 1, share < max_class_share)


def random_flip(image, label, seed):
    """Mirrors left and right with probability 0.5."""
    flip = tf.random.stateless_uniform([], seed) < 0.5
    return tf.cond(
        flip,
        lambda: (tf.reverse(image, [1]), tf.reverse(label, [1])),
        lambda: (image, label),
    )


def random_right_angle(image, label, seed):
    """Turns by 0, 90, 180 or 270 degrees: from above, no direction is up."""
    turns = tf.random.stateless_uniform([], seed, 0, 4, dtype=tf.int32)
    return tf.image.rot90(image, turns), tf.image.rot90(label[..., tf.newaxis], turns)[..., 0]


def pad_to(image, label, crop, color):
    """Pads right and bottom to `crop` x `crop`: the image with a colour, the label with 255."""
    rows, columns = tf.unstack(tf.shape(label))
    color = tf.cast(color, image.dtype)
    right = tf.broadcast_to(color, [rows, crop - columns, color.shape[0]])
    below = tf.broadcast_to(color, [crop - rows, crop, color.shape[0]])
    image = tf.concat([tf.concat([image, right], 1), below], 0)
    padding = [[0, crop - rows], [0, crop - columns]]
    label = tf.pad(label, padding, constant_values=IGNORE_INDEX)
    return tf.ensure_shape(image, (crop, crop, color.shape[0])), tf.ensure_shape(
        label, (crop, crop)
    )
