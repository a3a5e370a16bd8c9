"""Strong augmentation: the jittered resize and RandAugment of keras-cv 0.9, safe for labels.

keras-cv draws from stateful generators, so that a sample would depend on all samples before it.
Here only the deterministic parts of its layers are used. The random numbers are drawn here, from
the sample's seed and the distributions of its RandAugment policy. Labels use nearest-neighbour
resampling and are 255 (ignored) outside the image, where keras-cv fills with class 0.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from keras_deeplab._internal.stderr import capture_stderr
from keras_deeplab.data.class_table import IGNORE_INDEX

JITTER = (0.8, 1.25)  # ratio of the jittered resize; the example in keras-cv, from Mask R-CNN
OPERATIONS = 2  # of RandAugment per sample, as in the paper
RATE = 10 / 11  # probability of each; in the paper, one of 11 operations does nothing
# keras-cv's default of 0.5 shears and shifts half of a sample out of the image.
MAGNITUDE, DEVIATION = 0.3, 0.15

Draw = Callable[[tf.Tensor, tf.Tensor], Any]  # uniform and normal numbers to a layer's argument


def random_strong(
    image: tf.Tensor, label: tf.Tensor, seed: tf.Tensor, *, color: Sequence[float]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Jitters the scale of a sample and applies two random operations of RandAugment to it.

    Args:
        image: `(S, S, C)` uint8 or float32 0..255, of static shape. The colour operation needs 3
            bands, treated as RGB.
        label: `(S, S)` uint8.
        seed: Two integers; the same seed gives the same sample.
        color: Padding of a downscaled image, one value per band.

    Returns:
        `(image, label)` of the same shapes and dtypes. Labels have only values of `label` and 255.
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


def _jittered_resize(
    images: tf.Tensor, masks: tf.Tensor, seed: tf.Tensor, color: Sequence[float]
) -> tuple[tf.Tensor, tf.Tensor]:
    side = images.shape[1]
    draws = tf.random.stateless_uniform([3], seed)
    scaled = tf.round(side * (JITTER[0] + draws[0] * (JITTER[1] - JITTER[0])))
    offsets = tf.cast(tf.maximum(scaled - side, 0.0) * draws[1:], tf.int32)
    drawn = {"scaled_sizes": tf.stack([scaled, scaled])[tf.newaxis], "offsets": offsets[tf.newaxis]}
    layer = _resize_layer(side)
    # The layer pads with zeros. The shift makes them the colour and the ignore value.
    shift = tf.cast(color, tf.float32)
    images = layer.augment_images(images - shift, drawn) + shift
    masks = layer.augment_segmentation_masks(masks - IGNORE_INDEX, drawn) + IGNORE_INDEX
    return tf.ensure_shape(images, (1, side, side, len(color))), tf.ensure_shape(
        masks, (1, side, side, 1)
    )


def _random_operation(
    images: tf.Tensor, masks: tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
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


def _level(normal: tf.Tensor, mean: float = MAGNITUDE) -> tf.Tensor:
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


def _shear(axis: str) -> Draw:
    def draw(uniform, normals):
        amount = tf.reshape(_level(normals[0]) * tf.sign(uniform), [1, 1])
        return {"shear_x": None, "shear_y": None, axis: amount}

    return draw


def _translate(axis: str) -> Draw:
    def draw(uniform, normals):
        none = tf.zeros([1, 1])
        amount = tf.reshape(MAGNITUDE * uniform, [1, 1])
        return {"height_translations": none, "width_translations": none, axis: amount}

    return draw


# Random argument of each operation in the order of keras-cv's policy: auto contrast, equalize, ...
POLICY: tuple[Draw, ...] = (
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
def _policy_layers() -> list[tuple[Any, Any]]:
    """`(layer for images, layer for masks)` of each operation; they differ in the fill value."""
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
def _resize_layer(side: int) -> Any:
    with tf.init_scope():
        return _keras_cv().layers.JitteredResize((side, side), JITTER, seed=0)


def _keras_cv() -> Any:
    with capture_stderr():
        import keras_cv
    return keras_cv
