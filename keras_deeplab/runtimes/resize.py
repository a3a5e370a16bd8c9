"""Bilinear resizing in NumPy."""

import numpy as np


def resize_bilinear(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes bilinearly with half-pixel centres and without antialiasing.

    This is PyTorch's `interpolate(mode="bilinear", align_corners=False)`, and `tf.image.resize`.
    Pillow and OpenCV differ from it when they reduce or round.

    Args:
        array: `(..., H, W, C)` float32.
        size: `(height, width)`.

    Returns:
        `(..., height, width, C)` float32; `array` itself when it already has that size.
    """
    if array.shape[-3:-1] == size:
        return array
    for axis, length in ((-2, size[1]), (-3, size[0])):  # rows last: their copies are contiguous
        array = _resize_axis(array, axis, length)
    return array


def _resize_axis(array: np.ndarray, axis: int, length: int) -> np.ndarray:
    if array.shape[axis] == length:
        return array
    scale = np.float32(array.shape[axis] / length)
    position = (np.arange(length, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    below = np.floor(position)
    weight = (position - below).reshape(-1, *[1] * (-1 - axis))
    last = array.shape[axis] - 1
    first = array.take(np.clip(below.astype(int), 0, last), axis)
    resized = array.take(np.clip(below.astype(int) + 1, 0, last), axis)
    resized -= first
    resized *= weight
    resized += first
    return resized
