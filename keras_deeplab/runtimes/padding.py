"""Images that are smaller than the one size that a model takes."""

import numpy as np

from keras_deeplab.runtimes.predictor import Engine
from keras_deeplab.runtimes.resize import resize_bilinear


def enlarged(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Mirrors images `(..., H, W, C)` at the bottom and right border up to a size."""
    missing = [(0, side - own) for side, own in zip(size, image.shape[-3:-1], strict=True)]
    if not any(after for _, after in missing):
        return image
    return np.pad(image, [*[(0, 0)] * (image.ndim - 3), *missing, (0, 0)], "symmetric")


def padded(engine: Engine, fixed: tuple[int, int], size: tuple[int, int]) -> Engine:
    """An engine for images of a smaller size than the one that an engine takes.

    Args:
        engine: Engine of images of the size `fixed`.
        fixed: `(height, width)`.
        size: `(height, width)` of the images to come; neither side is longer.
    """
    if size == fixed:
        return engine

    def logits(images: np.ndarray) -> np.ndarray:
        whole = resize_bilinear(engine(enlarged(images, fixed)), fixed)
        return whole[:, : size[0], : size[1]]

    return logits
