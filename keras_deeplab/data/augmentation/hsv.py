"""Saturation and hue of RGB bands 0..255, with the integer HSV of OpenCV or without rounding.

Bands are a list of three float32 tensors of one shape. With `integers` they are whole numbers and
go through OpenCV's 8-bit HSV: value and saturation 0..255, hue 0..179, both rounded, and back to
RGB, cut off. OpenCV divides by tables, which takes a few ties to the other side.
"""

import tensorflow as tf


def adjust_saturation(bands, factor, integers):
    """Multiplies the saturation by `factor`, clipped to 1; hue and value stay."""
    hue, saturation, value = _to_hsv(bands, integers)
    saturation = tf.minimum(saturation * factor, 255.0)
    return _to_rgb(hue, tf.floor(saturation) if integers else saturation, value, integers)


def adjust_hue(bands, delta, integers):
    """Turns the hue by `delta` of 180 steps around the circle; saturation and value stay."""
    hue, saturation, value = _to_hsv(bands, integers)
    hue += delta
    return _to_rgb(hue - 180.0 * tf.floor(hue / 180.0), saturation, value, integers)


def _to_hsv(bands, integers):
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


def _to_rgb(hue, saturation, value, integers):
    sector, chroma = hue / 30.0, value * saturation / 255.0
    # How far a band lies below the value: 0 in two sectors, the chroma in two, sloping between.
    red = 2.0 - tf.abs(sector - 3.0)
    green = tf.abs(sector - 2.0) - 1.0
    blue = tf.abs(sector - 4.0) - 1.0
    bands = [value - chroma * tf.clip_by_value(band, 0.0, 1.0) for band in (red, green, blue)]
    return [tf.floor(band) for band in bands] if integers else bands
