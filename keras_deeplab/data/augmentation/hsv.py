"""Saturation and hue of RGB bands 0..255, with the integer HSV of OpenCV or without rounding.

Bands are a list of three float32 tensors of one shape. With `integers` they are whole numbers and
are converted to OpenCV's 8-bit HSV (value and saturation 0..255, hue 0..179, saturation and hue
rounded) and back to truncated RGB. OpenCV divides by lookup tables, which rounds a few ties the
other way.
"""

from collections.abc import Sequence

import tensorflow as tf


def adjust_saturation(
    bands: Sequence[tf.Tensor], factor: tf.Tensor, integers: bool
) -> list[tf.Tensor]:
    """Multiplies the saturation by `factor`, clipped to 1; hue and value do not change."""
    hue, saturation, value = _to_hsv(bands, integers)
    saturation = tf.minimum(saturation * factor, 255.0)
    return _to_rgb(hue, tf.floor(saturation) if integers else saturation, value, integers)


def adjust_hue(bands: Sequence[tf.Tensor], delta: tf.Tensor, integers: bool) -> list[tf.Tensor]:
    """Rotates the hue by `delta` of 180 steps; saturation and value do not change."""
    hue, saturation, value = _to_hsv(bands, integers)
    hue += delta
    return _to_rgb(hue - 180.0 * tf.floor(hue / 180.0), saturation, value, integers)


def _to_hsv(bands: Sequence[tf.Tensor], integers: bool) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    red, green, blue = bands
    value = tf.maximum(tf.maximum(red, green), blue)
    chroma = value - tf.minimum(tf.minimum(red, green), blue)
    saturation = 255.0 * chroma / tf.maximum(value, 1e-6)
    hue = tf.where(
        tf.equal(value, red),
        green - blue,
        tf.where(tf.equal(value, green), blue - red + 2.0 * chroma, red - green + 4.0 * chroma),
    )
    hue = 30.0 * hue / tf.maximum(chroma, 1e-6)
    if integers:
        saturation, hue = tf.floor(saturation + 0.5), tf.floor(hue + 0.5)
    return tf.where(hue < 0.0, hue + 180.0, hue), saturation, value


def _to_rgb(
    hue: tf.Tensor, saturation: tf.Tensor, value: tf.Tensor, integers: bool
) -> list[tf.Tensor]:
    sector, chroma = hue / 30.0, value * saturation / 255.0
    # A band is below the value by a share of the chroma: 0 or 1 in two sectors each, else linear.
    red = 2.0 - tf.abs(sector - 3.0)
    green = tf.abs(sector - 2.0) - 1.0
    blue = tf.abs(sector - 4.0) - 1.0
    bands = [value - chroma * tf.clip_by_value(band, 0.0, 1.0) for band in (red, green, blue)]
    return [tf.floor(band) for band in bands] if integers else bands
