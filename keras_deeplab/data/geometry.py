"""Random resize, crop, flip, rotation and padding of an image and its label map.

Every function is stateless: the same seed gives the same result, in any order and in parallel.
Images are `(H, W, C)` uint8, label maps `(H, W)` uint8.
"""

import tensorflow as tf

from keras_deeplab.data.class_table import IGNORE_INDEX

REDRAWS = 10  # of a crop in which one class dominates (reference: RandomCrop)


def random_crop_of_resized(image, label, seed, *, crop, scales, max_class_share=0.75):
    """A crop of the image resized by a random ratio, without resizing the rest of it.

    The values are those of resizing the whole picture (bilinear, half-pixel centres, rounded to
    uint8; nearest for the label) and cropping after: only the pixels of the crop are computed.

    Args:
        image: `(H, W, C)` uint8.
        label: `(H, W)` uint8.
        seed: Two integers.
        crop: Side of the crop in pixels; a smaller picture is kept whole.
        scales: Lowest and highest resize ratio, for example `(0.5, 2.0)`.
        max_class_share: A crop is drawn again, up to 10 times, while it holds fewer than two
            classes or one class covers this share of its labelled pixels or more.

    Returns:
        `(image, label)` of at most `crop` pixels a side.
    """
    ratio_seed, crop_seed = tf.unstack(tf.random.split(seed, 2))
    ratio = tf.random.stateless_uniform([], ratio_seed, scales[0], scales[1])
    old = tf.shape(label)
    new = tf.maximum(tf.cast(tf.cast(old, tf.float32) * ratio + 0.5, tf.int32), 1)
    size = tf.minimum(new, crop)
    corners = tf.cast(
        tf.random.stateless_uniform([REDRAWS + 1, 2], crop_seed)
        * tf.cast(new - size + 1, tf.float32),
        tf.int32,
    )
    corners = tf.minimum(corners, new - size)  # a draw of almost 1 can round up

    def draw(index):
        return _nearest_window(label, old, new, corners[index], size)

    def dominated(index, window):
        return tf.logical_and(index < REDRAWS, ~_is_mixed(window, max_class_share))

    index, window = tf.while_loop(
        dominated,
        lambda index, _: (index + 1, draw(index + 1)),
        (0, draw(0)),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, None])),
    )
    return _bilinear_window(image, old, new, corners[index], size), window


def _is_mixed(label, max_class_share):
    counts = tf.math.bincount(
        tf.cast(tf.reshape(label, [-1]), tf.int32), minlength=IGNORE_INDEX + 1
    )[:IGNORE_INDEX]
    most, total = tf.reduce_max(counts), tf.reduce_sum(counts)
    share = tf.cast(most, tf.float32) / tf.cast(tf.maximum(total, 1), tf.float32)
    return tf.logical_and(tf.math.count_nonzero(counts) > 1, share < max_class_share)


def _nearest_window(label, old, new, corner, size):
    for axis in (0, 1):
        # floor(x * old / new) in integers: OpenCV's nearest, free of rounding.
        index = (corner[axis] + tf.range(size[axis])) * old[axis] // new[axis]
        label = tf.gather(label, index, axis=axis)
    return label


def _bilinear_window(image, old, new, corner, size):
    image = tf.ensure_shape(image, (None, None, None))
    for axis in (0, 1):
        step = tf.cast(old[axis], tf.float32) / tf.cast(new[axis], tf.float32)
        position = tf.cast(corner[axis] + tf.range(size[axis]), tf.float32)
        source = tf.clip_by_value(
            (position + 0.5) * step - 0.5, 0.0, tf.cast(old[axis] - 1, tf.float32)
        )
        low = tf.cast(tf.floor(source), tf.int32)
        high = tf.minimum(low + 1, old[axis] - 1)
        weight = tf.reshape(source - tf.floor(source), [-1, 1, 1] if axis == 0 else [1, -1, 1])
        below = tf.cast(tf.gather(image, low, axis=axis), tf.float32)
        above = tf.cast(tf.gather(image, high, axis=axis), tf.float32)
        image = below + (above - below) * weight
    return tf.cast(tf.round(image), tf.uint8)


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
    shape = tf.shape(label)
    padding = [[0, crop - shape[0]], [0, crop - shape[1]]]
    # Shifted by the colour, so that the zeros of tf.pad stand for it.
    shifted = tf.cast(image, tf.int16) - tf.constant(color, tf.int16)
    image = tf.pad(shifted, [*padding, [0, 0]]) + tf.constant(color, tf.int16)
    label = tf.pad(label, padding, constant_values=IGNORE_INDEX)
    return tf.ensure_shape(tf.cast(image, tf.uint8), (crop, crop, len(color))), tf.ensure_shape(
        label, (crop, crop)
    )
