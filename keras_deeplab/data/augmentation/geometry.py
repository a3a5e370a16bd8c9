"""Random crop, flip, rotation and padding of an image and its label map.

All functions are stateless: the same seed gives the same result, in any order and in parallel.
Images are `(H, W, C)` uint8 or float32, label maps `(H, W)` uint8.
"""

from collections.abc import Sequence

import tensorflow as tf

from keras_deeplab.data.augmentation.resize import bilinear_window, keep_ratio_size, nearest_window
from keras_deeplab.data.class_table import IGNORE_INDEX

REDRAWS = 10  # of a crop that one class dominates (mmsegmentation's RandomCrop)


def random_crop_of_resized(
    image: tf.Tensor,
    label: tf.Tensor,
    seed: tf.Tensor,
    *,
    crop: int,
    base_size: tuple[int, int] | None,
    scale_range: tuple[float, float],
    max_class_share: float = 0.75,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Resizes an image by a random ratio and takes a random crop of it.

    Only the pixels of the crop are computed. They are the same as those of resizing the whole image
    and then cropping.

    Args:
        image: `(H, W, C)` uint8 or float32.
        label: `(H, W)` uint8.
        seed: Two integers.
        crop: Side of the crop in pixels; a smaller image is not cropped.
        base_size: Long and short side that an image is resized to at ratio 1, keeping its aspect
            ratio, or `None` for the image's size.
        scale_range: Lowest and highest ratio, for example `(0.5, 2.0)`.
        max_class_share: A crop is drawn again, up to 10 times, while it has fewer than two classes
            or one class covers at least this share of its labelled pixels. The last draw is kept.

    Returns:
        `(window, label)`: `(crop, C, crop)`, to be transposed with `resize.to_hwc`, and the label
        map of at most `crop` pixels per side.
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


def _is_mixed(label: tf.Tensor, max_class_share: float) -> tf.Tensor:
    counts = tf.raw_ops.DenseBincount(
        input=tf.cast(tf.reshape(label, [-1]), tf.int32),
        size=IGNORE_INDEX + 1,
        weights=tf.constant([], tf.int32),
    )[:IGNORE_INDEX]
    most, total = tf.reduce_max(counts), tf.reduce_sum(counts)
    share = tf.cast(most, tf.float32) / tf.cast(tf.maximum(total, 1), tf.float32)
    return tf.logical_and(tf.math.count_nonzero(counts) > 1, share < max_class_share)


def random_flip(image: tf.Tensor, label: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Flips horizontally with probability 0.5."""
    flip = tf.random.stateless_uniform([], seed) < 0.5
    return tf.cond(
        flip,
        lambda: (tf.reverse(image, [1]), tf.reverse(label, [1])),
        lambda: (image, label),
    )


def random_right_angle(
    image: tf.Tensor, label: tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Rotates by 0, 90, 180 or 270 degrees: nadir images have no upright orientation."""
    turns = tf.random.stateless_uniform([], seed, 0, 4, dtype=tf.int32)
    return tf.image.rot90(image, turns), tf.image.rot90(label[..., tf.newaxis], turns)[..., 0]


def pad_to(
    image: tf.Tensor, label: tf.Tensor, crop: int, color: Sequence[float]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Pads right and bottom to `crop` x `crop`: the image with a colour, the label with 255."""
    rows, columns = tf.unstack(tf.shape(label))
    fill, bands = tf.cast(color, image.dtype), len(color)
    right = tf.broadcast_to(fill, [rows, crop - columns, bands])
    below = tf.broadcast_to(fill, [crop - rows, crop, bands])
    image = tf.concat([tf.concat([image, right], 1), below], 0)
    padding = [[0, crop - rows], [0, crop - columns]]
    label = tf.pad(label, padding, constant_values=IGNORE_INDEX)
    return tf.ensure_shape(image, (crop, crop, bands)), tf.ensure_shape(label, (crop, crop))
