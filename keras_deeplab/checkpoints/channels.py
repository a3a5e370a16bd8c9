"""Adapting the first convolution of a three-channel network to another number of channels."""

import logging
from collections.abc import Sequence

import numpy as np

from keras_deeplab.models.variants import BACKBONES

FIRST_CONVOLUTIONS = tuple(
    dict.fromkeys(f"backbone.{backbone.first_convolution}" for backbone in BACKBONES.values())
)
CHANNEL_AXIS = 2  # of the input channels in a kernel (height, width, in, out)
TRAINED = 3  # channels of every published network

logger = logging.getLogger("keras_deeplab")


def differs_only(found: Sequence[int], expected: Sequence[int], axis: int) -> bool:
    """Whether two shapes have as many axes and the same sizes on all axes but one."""
    return len(found) == len(expected) and [
        index
        for index, sizes in enumerate(zip(found, expected, strict=True))
        if len(set(sizes)) > 1
    ] == [axis % len(expected)]


def is_adaptable(found: Sequence[int], expected: Sequence[int]) -> bool:
    """Whether `adapt_channels` makes a kernel of one shape fit another one.

    Two channels are not adaptable: there is no obvious rule.
    """
    return (
        differs_only(found, expected, CHANNEL_AXIS)
        and found[CHANNEL_AXIS] == TRAINED
        and expected[CHANNEL_AXIS] != 2
    )


def adapt_channels(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Kernel of the first convolution for images that do not have three channels.

    The first three channels keep their kernels, every further one gets the mean of the three, and
    all are scaled by `3 / channels`: an image with equal channels gives the same features as
    before. A single channel gets the sum of the three. Such a network needs fine-tuning, but starts
    from better weights than a random kernel.

    Args:
        kernel: Array `(height, width, in, out)` with 3 or already `channels` input channels.
        channels: Required number of input channels, 1 or more.

    Returns:
        The adapted array; `kernel` itself when it has the required number of channels.
    """
    if channels == kernel.shape[CHANNEL_AXIS]:
        return kernel
    mean = kernel.mean(axis=CHANNEL_AXIS, keepdims=True)
    further = np.repeat(mean, max(channels - TRAINED, 0), axis=CHANNEL_AXIS)
    known = kernel if channels > TRAINED else mean
    logger.warning(
        "%d input channels instead of %d: the first convolution is adapted from the RGB kernels "
        "and should be fine-tuned.",
        channels,
        TRAINED,
    )
    return np.concatenate([known, further], axis=CHANNEL_AXIS) * np.float32(TRAINED / channels)
