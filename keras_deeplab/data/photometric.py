"""Photometric distortion of an RGB image, in the order and strength of the reference.

Brightness; contrast here or last (a coin toss); saturation; hue. Each happens with probability
0.5 and is rounded and clipped to uint8 before the next.
"""

import tensorflow as tf

BRIGHTNESS = 32.0  # added, of 255
CONTRAST = (0.5, 1.5)  # factor
SATURATION = (0.5, 1.5)  # factor
HUE = (-18, 18)  # added, in OpenCV's 180 steps around the circle; the upper end is exclusive


def random_photometric_distortion(image, seed):
    """Distorts `(H, W, 3)` uint8 RGB; the same seed gives the same result."""
    seeds = tf.unstack(tf.random.split(seed, 6))
    contrast_first = tf.random.stateless_uniform([], seeds[0]) < 0.5
    image = _sometimes(_brightness, image, seeds[1])
    image = tf.cond(contrast_first, lambda: _sometimes(_contrast, image, seeds[2]), lambda: image)
    image = _sometimes(_saturation, image, seeds[3])
    image = _sometimes(_hue, image, seeds[4])
    return tf.cond(contrast_first, lambda: image, lambda: _sometimes(_contrast, image, seeds[5]))


def _sometimes(distort, image, seed):
    coin, strength = tf.unstack(tf.random.split(seed, 2))
    return tf.cond(
        tf.random.stateless_uniform([], coin) < 0.5,
        lambda: distort(image, strength),
        lambda: image,
    )


def _to_uint8(values):
    return tf.cast(tf.clip_by_value(tf.round(values), 0.0, 255.0), tf.uint8)


def _brightness(image, seed):
    delta = tf.random.stateless_uniform([], seed, -BRIGHTNESS, BRIGHTNESS)
    return _to_uint8(tf.cast(image, tf.float32) + delta)


def _contrast(image, seed):
    factor = tf.random.stateless_uniform([], seed, *CONTRAST)
    return _to_uint8(tf.cast(image, tf.float32) * factor)


def _saturation(image, seed):
    factor = tf.random.stateless_uniform([], seed, *SATURATION)
    hue, saturation, value = tf.unstack(_to_hsv(image), axis=-1)
    return _from_hsv(hue, tf.minimum(saturation * factor, 1.0), value)


def _hue(image, seed):
    delta = tf.random.stateless_uniform([], seed, *HUE, dtype=tf.int32)
    hue, saturation, value = tf.unstack(_to_hsv(image), axis=-1)
    return _from_hsv(
        tf.math.floormod(hue + tf.cast(delta, tf.float32) / 180.0, 1.0), saturation, value
    )


def _to_hsv(image):
    return tf.image.rgb_to_hsv(tf.cast(image, tf.float32) / 255.0)


def _from_hsv(hue, saturation, value):
    return _to_uint8(tf.image.hsv_to_rgb(tf.stack([hue, saturation, value], -1)) * 255.0)
