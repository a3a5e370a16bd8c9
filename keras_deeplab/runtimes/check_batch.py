"""The images on which runtimes and exported files are compared with Keras."""

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab.runtimes.source import ModelSource
from keras_deeplab.zoo.check_images import read_check_image

SIDE = 512  # pixels of the check image that are predicted


def check_batch(source: ModelSource) -> np.ndarray:
    """A batch of the check image, or else of noise, which all sizes of features get to see."""
    network = source.network
    if source.check_image is None:
        rng = np.random.default_rng(0)
        size = (side or SIDE // 2 for side in source.size)
        noise = rng.uniform(0, 255, (1, *size, network.channels))
        images = noise.astype(np.float32)
        return images if network.normalises else (images - 127.5) / 64
    images = read_check_image(source.check_image)[np.newaxis, :SIDE, :SIDE]
    if images.shape[-1] != network.channels:
        raise InputError(
            f"{source.check_image} has {images.shape[-1]} channels, but {network.name} takes "
            f"{network.channels}: runtimes cannot be compared on it. Name runtime and precision."
        )
    return images
