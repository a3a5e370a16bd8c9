"""Adapting the first convolution of a three-channel network to another number of channels."""

import logging
from collections.abc import Sequence

import numpy as np

FIRST_CONVOLUTION = "backbone.stem.0"
TRAINED = 3  # channels of every published network

logger = logging.getLogger("keras_deeplab")


def is_adaptable(found: Sequence[int], expected: Sequence[int], axis: int) -> bool:
    """Whether a kernel shape differs from the expected one only in the input channels.

    Two channels are not adaptable: there is no obvious rule.
    """
    return (
        len(found) == len(expected)
        and found[axis] == TRAINED
        and expected[axis] != 2
        and [n for i, n in enumerate(found) if i != axis]
        == [n for i, n in enumerate(expected) if i != axis]
    )


def adapt_channels(kernel: np.ndarray, channels: int, axis: int) -> np.ndarray:
    """Kernel of the first convolution for images that do not have three channels.

    The first three channels keep their kernels, every further one gets the mean of the three, and
    all are scaled by `3 / channels`: an image with equal channels gives the same features as
    before. A single channel gets the sum of the three. Such a network needs fine-tuning, but starts
    from better weights than a random kernel.

    Args:
        kernel: Array with 3 input channels on `axis`.
        channels: Required number of input channels, 1 or more.
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
        "%d input channels instead of %d: %s is adapted from the RGB kernels and should be "
        "fine-tuned.",
        channels,
        TRAINED,
        FIRST_CONVOLUTION,
    )
    return np.concatenate([known, further], axis=axis) * np.float32(TRAINED / channels)
