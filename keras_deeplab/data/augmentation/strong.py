"""Strong augmentation: the jittered resize and RandAugment of keras-cv 0.9, safe for labels.

keras-cv draws from generators that hold a state, so that a sample would depend on all before it.
Here only its deterministic pieces are used: what its layers do with numbers that are drawn outside,
from the sample's seed and the distributions of its RandAugment policy. Labels are resampled to the
nearest pixel, and where nothing is left to see they are ignored; keras-cv fills with class 0.
"""

import functools

import tensorflow as tf

from keras_deeplab._internal.stderr import capture_stderr
from keras_deeplab.data.class_table import IGNORE_INDEX

JITTER = (0.8, 1.25)  # ratio of the jittered resize; the example in keras-cv, from Mask R-CNN
OPERATIONS = 2  # of RandAugment on each sample; the paper's choice
RATE = 10 / 11  # probability of each, as in the paper, where one of 11 operations does nothing
# keras-cv's default of 0.5 shears and shifts half of a sample out of sight.
MAGNITUDE, DEVIATION = 0.3, 0.15


def random_strong(image, label, seed, *, color):
    """Jitters the scale of a sample and applies two random operations of RandAugment to it.

    Args:
        image: `(S, S, C)` uint8 or float32 0..255, of static shape. The operation on colours is
            left out unless there are 3 bands, taken as RGB.
        label: `(S, S)` uint8.
        seed: Two integers; the same seed gives the same sample.
        color: What the image is padded with when it shrinks, one value per band.

    Returns:
        `(image, label)` of the same shapes and dtypes. Labels hold only values of `label` and 255.
    """
    jitter_seed, *seeds = tf.unstack(tf.random.split(seed, 1 + OPERATIONS))
    images = tf.cast(image, tf.float32)[tf.newaxis]
    masks = tf.cast(label, tf.float32)[tf.newaxis, ..., tf.newaxis]
    images, masks = _jittered_resize(images, masks, jitter_seed, color)
    for operation_seed in seeds:
        images, masks = _random_operation(images, masks, operation_seed)
    images = tf.clip_by_value(images[0], 0.0, 255.0)
    if image.dtype == tf.uint8:
        images = tf.round(images)
    return tf.cast(images, image.dtype), tf.cast(masks[0, ..., 0], tf.uint8)


def _jittered_resize(images, masks, seed, color):
    side = images.shape[1]
    draws = tf.random.stateless_uniform([3], seed)
    scaled = tf.round(side * (JITTER[0] + draws[0] * (JITTER[1] - JITTER[0])))
    offsets = tf.cast(tf.maximum(scaled - side, 0.0) * draws[1:], tf.int32)
    drawn = {"scaled_sizes": tf.stack([scaled, scaled])[tf.newaxis], "offsets": offsets[tf.newaxis]}
    layer = _resize_layer(side)
    # The layer pads with zeros: shifted, so that they stand for the colour and for "ignore".
    color = tf.cast(color, tf.float32)
    images = layer.augment_images(images - color, drawn) + color
    masks = layer.augment_segmentation_masks(masks - IGNORE_INDEX, drawn) + IGNORE_INDEX
    bands = color.shape[0]
    return tf.ensure_shape(images, (1, side, side, bands)), tf.ensure_shape(
        masks, (1, side, side, 1)
    )


def _random_operation(images, masks, seed):
    coin, choice, strength = tf.unstack(tf.random.split(seed, 3))
    uniform = tf.random.stateless_uniform([], strength, -1.0, 1.0)
    normals = tf.random.stateless_normal([3], strength + 1)
    operations = [
        functools.partial(_operate, layers, draw(uniform, normals), images, masks)
        for layers, draw in zip(_policy_layers(), POLICY, strict=True)
        if images.shape[-1] == 3 or draw is not _color
    ]
    index = tf.random.stateless_uniform([], choice, 0, len(operations), dtype=tf.int32)
    return tf.cond(
        tf.random.stateless_uniform([], coin) < RATE,
        lambda: tf.switch_case(index, operations),
        lambda: (images, masks),
    )


def _operate(layers, drawn, images, masks):
    image_layer, mask_layer = layers
    new_images = tf.ensure_shape(image_layer.augment_images(images, drawn), images.shape)
    return new_images, mask_layer.augment_segmentation_masks(masks, drawn)


def _level(normal, mean=MAGNITUDE):
    return tf.clip_by_value(mean + DEVIATION * normal, 0.0, 1.0)


def _nothing(uniform, normals):
    return None


def _solarize(uniform, normals):
    additions, thresholds = 110.0 * _level(normals[0]), 255.0 * _level(normals[1], 1 - MAGNITUDE)
    return {"additions": additions, "thresholds": thresholds}


def _color(uniform, normals):
    return _level(normals[0])


def _contrast(uniform, normals):
    return 1.0 + MAGNITUDE * uniform


def _brightness(uniform, normals):
    return 255.0 * MAGNITUDE * uniform


def _shear(axis):
    def draw(uniform, normals):
        amount = tf.reshape(_level(normals[0]) * tf.sign(uniform), [1, 1])
        return {"shear_x": None, "shear_y": None, axis: amount}

    return draw


def _translate(axis):
    def draw(uniform, normals):
        none = tf.zeros([1, 1])
        amount = tf.reshape(MAGNITUDE * uniform, [1, 1])
        return {"height_translations": none, "width_translations": none, axis: amount}

    return draw


# How each operation is drawn, in the order of keras-cv's policy: auto contrast, equalization, ...
POLICY = (
    _nothing,
    _nothing,
    _solarize,
    _color,
    _contrast,
    _brightness,
    _shear("shear_x"),
    _shear("shear_y"),
    _translate("width_translations"),
    _translate("height_translations"),
)


@functools.cache
def _policy_layers():
    """`(layer for images, layer for masks)` of each operation: they fill what is outside apart."""
    with tf.init_scope():
        images, masks = (
            _keras_cv().layers.RandAugment.get_standard_policy(
                (0, 255), MAGNITUDE, DEVIATION, seed=0
            )
            for _ in range(2)
        )
    for layer in masks:
        layer.fill_mode, layer.fill_value = "constant", float(IGNORE_INDEX)
    return list(zip(images, masks, strict=True))


@functools.cache
def _resize_layer(side):
    with tf.init_scope():
        return _keras_cv().layers.JitteredResize((side, side), JITTER, seed=0)


def _keras_cv():
    with capture_stderr():
        import keras_cv
    return keras_cv
