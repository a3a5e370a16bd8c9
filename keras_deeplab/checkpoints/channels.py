"""The first convolution of a network trained on three channels, for another number of them."""

import logging

import numpy as np

FIRST_CONVOLUTION = "backbone.stem.0"
TRAINED = 3  # channels of every published network

logger = logging.getLogger("keras_deeplab")


def is_adaptable(found, expected, axis):
    """Whether a kernel shape differs from the expected one in the input channels alone.

    Two channels are not adaptable: no rule suggests itself.
    """
    return (
        len(found) == len(expected)
        and found[axis] == TRAINED
        and expected[axis] != 2
        and [n for i, n in enumerate(found) if i != axis]
        == [n for i, n in enumerate(expected) if i != axis]
    )


def adapt_channels(kernel, channels, axis):
    """Kernel of the first convolution for images of other than three channels.

    The first three channels keep their kernels, every further one gets the mean of the three, and
    all are scaled by `3 / channels`: an image whose channels are all equal gives the features it
    gave before. A single channel gets the sum of the three. Such a network must be trained on; it
    starts closer to useful than a random kernel.

    Args:
        kernel: Array with 3 input channels on `axis`.
        channels: Input channels wanted, 1 or more.
        axis: Axis of the input channels.

    Returns:
        The adapted array; `kernel` itself for three channels.
    """
    if channels == TRAINED:
        return kernel
    mean = kernel.mean(axis=axis, keepdims=True)
    further = np.repeat(mean, max(channels - TRAINED, 0), axis=axis)
    known = kernel if channels > TRAINED else mean
    logger.warning(
        "%d input channels instead of %d: %s is adapted from the kernels of RGB and should be "
        "trained on.",
        channels,
        TRAINED,
        FIRST_CONVOLUTION,
    )
    return np.concatenate([known, further], axis=axis) * np.float32(TRAINED / channels)
