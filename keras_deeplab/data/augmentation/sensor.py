"""Sensor augmentation: images of the same ground as other cameras and archives deliver them.

Blur of optics and resampling, gamma, colour balance and JPEG artefacts, each at random. Labels stay
as they are. The ranges are those in which people still recognise roofs and roads at once.
"""

import tensorflow as tf

BLUR = (0.3, 1.5)  # standard deviation in pixels
GAMMA = (0.67, 1.5)  # exponent, uniform in its logarithm
BALANCE = (0.85, 1.18)  # factor of each band, uniform in its logarithm
JPEG = (40, 95)  # quality, 0..100
PROBABILITIES = (0.3, 0.5, 0.5, 0.5)  # of blur, gamma, balance and JPEG
RADIUS = 4  # of the blur's kernel in pixels


def random_sensor(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Blurs an image, changes its gamma and colour balance and compresses it, each at random.

    Args:
        image: `(H, W, C)` uint8, or float32 0..255, with static C. JPEG applies to uint8 images
            of 3 bands alone.
        seed: Two integers; the same seed gives the same result.

    Returns:
        `(H, W, C)` of the image's dtype, 0..255.
    """
    coin_seed, blur_seed, gamma_seed, balance_seed, jpeg_seed = tf.unstack(tf.random.split(seed, 5))
    blurred, brightened, balanced, compressed = tf.unstack(
        tf.random.stateless_uniform([4], coin_seed) < PROBABILITIES
    )
    values = tf.cast(image, tf.float32)
    sigma = tf.random.stateless_uniform([], blur_seed, *BLUR)
    values = tf.cond(blurred, lambda: gaussian_blur(values, sigma), lambda: values)
    gamma = tf.where(brightened, _log_uniform([], gamma_seed, GAMMA), 1.0)
    gains = tf.where(balanced, _log_uniform([image.shape[-1]], balance_seed, BALANCE), 1.0)
    values = 255.0 * tf.pow(values / 255.0, gamma) * gains
    values = tf.clip_by_value(values, 0.0, 255.0)
    if image.dtype != tf.uint8:
        return tf.cast(values, image.dtype)
    pixels = tf.cast(tf.round(values), tf.uint8)
    if image.shape[-1] != 3:
        return pixels
    return tf.cond(
        compressed,
        lambda: tf.image.stateless_random_jpeg_quality(pixels, *JPEG, jpeg_seed),
        lambda: pixels,
    )


def gaussian_blur(image: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
    """Gaussian blur of `(H, W, C)` float32 with mirrored borders; at least 5 x 5 pixels."""
    offsets = tf.range(-RADIUS, RADIUS + 1, dtype=tf.float32)
    weights = tf.exp(-tf.square(offsets / sigma) / 2)
    weights /= tf.reduce_sum(weights)
    kernel = tf.tile(weights[:, tf.newaxis, tf.newaxis, tf.newaxis], [1, 1, image.shape[-1], 1])
    margin = [RADIUS, RADIUS]
    padded = tf.pad(image, [margin, margin, [0, 0]], "REFLECT")[tf.newaxis]
    rows = tf.nn.depthwise_conv2d(padded, kernel, [1, 1, 1, 1], "VALID")
    columns = tf.transpose(kernel, [1, 0, 2, 3])
    return tf.nn.depthwise_conv2d(rows, columns, [1, 1, 1, 1], "VALID")[0]


def _log_uniform(shape: list[int], seed: tf.Tensor, limits: tuple[float, float]) -> tf.Tensor:
    low, high = tf.unstack(tf.math.log(tf.constant(limits)))
    return tf.exp(tf.random.stateless_uniform(shape, seed, low, high))
