"""Photometric distortion of an image, in the order and strength of the reference.

Brightness; contrast, either here or last (at random); saturation; hue. Each is applied with
probability 0.5. As in the reference, a uint8 image is clipped and truncated to integers after each
step, and saturation and hue use OpenCV's integer HSV. A float32 image is clipped to 0..255 and
never rounded.
"""

import functools
from collections.abc import Sequence

import tensorflow as tf

from keras_deeplab.data.augmentation.hsv import adjust_hue, adjust_saturation

BRIGHTNESS = (-32.0, 32.0)  # added, of 255
CONTRAST = (0.5, 1.5)  # factor
SATURATION = (0.5, 1.5)  # factor
HUE = (-18.0, 18.0)  # added, of 180 steps, rounded down: -18..17


def random_photometric_distortion(window: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Distorts an image; the same seed gives the same result.

    Args:
        window: `(W, C, H)` uint8, or float32 0..255, of static shape, for which the arithmetic is
            compiled. Saturation and hue need 3 bands, treated as RGB; brightness and contrast
            apply to any number.
        seed: Two integers.

    Returns:
        `(W, C, H)` of the window's dtype; `(W, 1, H)` uint32 of 8-bit RGB, see `unpacked`.
    """
    coin_seed, strength_seed = tf.unstack(tf.random.split(seed, 2))
    coins = tf.random.stateless_uniform([5], coin_seed) < 0.5
    low, high = zip(BRIGHTNESS, CONTRAST, SATURATION, HUE, strict=True)
    strengths = tf.random.stateless_uniform([4], strength_seed, low, high)
    distort = functools.partial(_distort, window, coins[:3], strengths)
    # One kernel per combination: saturation and hue take far longer than the rest.
    kernels = [
        functools.partial(distort, saturate=saturate, shift_hue=shift_hue)
        for saturate in (False, True)
        for shift_hue in (False, True)
    ]
    needed = tf.tensordot(tf.cast(coins[3:], tf.int32), [2, 1], 1)
    return tf.stack(tf.switch_case(needed, kernels), axis=1)


@tf.function(jit_compile=True)  # one pass over the pixels instead of one per operation
def _distort(
    window: tf.Tensor, coins: tf.Tensor, strengths: tf.Tensor, *, saturate: bool, shift_hue: bool
) -> list[tf.Tensor]:
    contrast_first, brighten, contrast = tf.unstack(coins)
    delta, factor, saturation, hue = tf.unstack(strengths)
    integers = window.dtype == tf.uint8

    def sometimes(coin, adjust, bands, strength):
        adjusted = adjust(bands, strength, integers)
        return [tf.where(coin, *pair) for pair in zip(adjusted, bands, strict=True)]

    bands = tf.unstack(tf.cast(window, tf.float32), axis=1)
    bands = sometimes(brighten, adjust_brightness, bands, delta)
    bands = sometimes(contrast & contrast_first, adjust_contrast, bands, factor)
    if saturate and len(bands) == 3:
        bands = adjust_saturation(bands, saturation, integers)
    if shift_hue and len(bands) == 3:
        bands = adjust_hue(bands, tf.floor(hue), integers)
    bands = sometimes(contrast & ~contrast_first, adjust_contrast, bands, factor)
    if is_packed(window):
        # XLA computes everything once per output, so bands of their own would take twice as long.
        numbers = [tf.cast(band, tf.uint32) * 256**place for place, band in enumerate(bands)]
        return [tf.add_n(numbers)]
    return [tf.cast(band, window.dtype) for band in bands]


def is_packed(image: tf.Tensor) -> bool:
    """Whether the pixels of an image `(W, C, H)` become numbers: those of 8-bit RGB."""
    return image.dtype == tf.uint8 and image.shape[1] == 3


def packed(color: Sequence[float]) -> int:
    """An 8-bit RGB colour as one number."""
    return sum(int(band) * 256**place for place, band in enumerate(color))


@tf.function(jit_compile=True)
def unpacked(pixels: tf.Tensor) -> tf.Tensor:
    """`(H, W, 3)` uint8 of packed pixels `(H, W, 1)` uint32, of static shape.

    A pixel of 4 bytes is quicker to transpose, flip and pad than three of one byte.
    """
    return tf.bitcast(pixels[..., 0], tf.uint8)[..., :3]


def adjust_brightness(
    bands: Sequence[tf.Tensor], delta: tf.Tensor, integers: bool
) -> list[tf.Tensor]:
    """Adds `delta` and clips to 0..255; truncates to integers if `integers`."""
    return [_clip(band + delta, integers) for band in bands]


def adjust_contrast(
    bands: Sequence[tf.Tensor], factor: tf.Tensor, integers: bool
) -> list[tf.Tensor]:
    """Multiplies by `factor` and clips to 0..255; truncates to integers if `integers`."""
    return [_clip(band * factor, integers) for band in bands]


def _clip(band: tf.Tensor, integers: bool) -> tf.Tensor:
    band = tf.clip_by_value(band, 0.0, 255.0)
    return tf.floor(band) if integers else band
