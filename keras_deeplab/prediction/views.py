"""Logits and probabilities of the views of one image: resized, mirrored, whole or in windows."""

import weakref
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab.data.files.grid import window_starts
from keras_deeplab.models.atrous import DATA_FORMAT
from keras_deeplab.models.layers import MIN_SIZE, check_image_size
from keras_deeplab.prediction.protocols import Protocol

_COMPILED: weakref.WeakKeyDictionary[keras.Model, Callable[[np.ndarray], Any]] = (
    weakref.WeakKeyDictionary()
)


def logits_function(model: keras.Model) -> Callable[[np.ndarray], Any]:
    """Function from a NumPy batch `(N, H, W, C)` to the model's float32 logits, a tensor.

    On TensorFlow it is traced once per model, for all image and batch sizes.
    """
    if model not in _COMPILED:
        _COMPILED[model] = _build_logits_function(model)
    return _COMPILED[model]


def _build_logits_function(model: keras.Model) -> Callable[[np.ndarray], Any]:
    if any(layer.name.endswith("logits-activation") for layer in model.layers):
        raise InputError(
            "The model ends in an activation, but prediction and evaluation need logits: build or "
            "load the model with activation=None."
        )
    reference: Callable[[], Any] = weakref.ref(model)  # the cache must not keep the model alive

    def forward(images):
        outputs = reference()(images, training=False)
        return outputs["logits"] if isinstance(outputs, dict) else outputs

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)]
        forward = tf.function(forward, input_signature=signature)
    return lambda images: forward(images.astype("float32"))


def logits_classes(model: keras.Model) -> int:
    """Number of classes of a model's logits."""
    output = model.output
    return (output["logits"] if isinstance(output, dict) else output).shape[-1]


def check_image(model: keras.Model, image: np.ndarray) -> None:
    """Raises a `ValueError` when an image does not fit the model.

    Args:
        model: Model of `keras_deeplab.build`.
        image: `(H, W, C)`; uint8 or float32 in the range 0..255; any normalised float32 for a
            model without preprocessing.
    """
    channels = model.input_shape[-1]
    if image.ndim != 3 or image.shape[-1] != channels:
        raise InputError(
            f"Expected an image of shape (height, width, {channels}), got {image.shape}. "
            "Convert the image, or build the model with other input channels."
        )
    normalises = model.get_layer("preprocessing").mean is not None
    if normalises and image.dtype != np.uint8:
        low, high = image.min(), image.max()
        # A black image is valid; any other image within 0..1 was scaled for another model.
        if image.dtype.kind != "f" or low < 0 or high > 255 or 0 < high <= 1:
            raise InputError(
                f"The model normalises images 0..255 itself, uint8 or float, got {image.dtype} "
                f"{low:g} to {high:g}: rescale the image to 0..255, or build the model with "
                "include_preprocessing=False."
            )
    check_image_size(*image.shape[:2])


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes an image `(H, W, C)`; uint8 is rounded, as in the reference."""
    if image.shape[:2] == size:
        return image
    resized = keras.ops.convert_to_numpy(resize_bilinear(image.astype("float32"), size))
    return np.rint(resized).astype(np.uint8) if image.dtype == np.uint8 else resized


def resize_bilinear(array: Any, size: tuple[int, int]) -> Any:
    """Resizes bilinearly with half-pixel centres and without antialiasing.

    Args:
        array: `(H, W, C)` or `(N, H, W, C)` float32, a tensor or NumPy array.
        size: `(height, width)`.

    Returns:
        `array` itself when it already has that size, otherwise a tensor.
    """
    if tuple(array.shape[-3:-1]) == size:
        return array
    return keras.ops.image.resize(
        array, size, interpolation="bilinear", antialias=False, data_format=DATA_FORMAT
    )


def batch_logits(model, images, window=None, stride=None):
    """Logits of images of one size; those of overlapping windows are averaged.

    Args:
        model: Model of logits.
        images: `(N, H, W, C)`.
        window: `(height, width)` of the windows, or `None` for whole images.
        stride: `(vertical, horizontal)` step of the windows.

    Returns:
        `(N, H, W, classes)` float32: a tensor, or with windows a NumPy array.
    """
    forward = logits_function(model)
    height, width = images.shape[1:3]
    if window is None:
        return resize_bilinear(forward(images), (height, width))
    total, count = None, np.zeros((height, width, 1), np.float32)
    for top in window_starts(height, window[0], stride[0]):
        for left in window_starts(width, window[1], stride[1]):
            area = np.s_[top : top + window[0], left : left + window[1]]
            part = images[:, area[0], area[1]]
            logits = resize_bilinear(forward(part), part.shape[1:3])
            if total is None:
                total = np.zeros((*images.shape[:3], logits.shape[-1]), np.float32)
            total[:, area[0], area[1]] += keras.ops.convert_to_numpy(logits)
            count[area] += 1
    return total / count


def image_probabilities(
    model: keras.Model, image: np.ndarray, protocol: Protocol
) -> list[np.ndarray]:
    """Mean softmax of the views of an image, without and with the mirrored views.

    Views are predicted one at a time. A batch of an image and its mirror image is not faster on
    CPUs and needs more memory, and the last bits of the prediction would depend on whether the
    image is also mirrored.

    Args:
        model: Model of logits.
        image: `(H, W, C)`, see `check_image`.
        protocol: Scales, flip and windows.

    Returns:
        List of `(H, W, classes)` float32 arrays: the mean over the views that are not mirrored,
        and with `protocol.flip` the mean over all views.

    Raises:
        ValueError: When the image does not fit the model, or a view is too small.
    """
    check_image(model, image)
    if protocol.window is not None and min(protocol.window) < MIN_SIZE:
        raise InputError(
            f"window {protocol.window} is too small: the network needs {MIN_SIZE} pixels a side."
        )
    height, width = image.shape[:2]
    sums: list[Any] = [None, None] if protocol.flip else [None]
    for scale in protocol.scales:
        size = protocol.view_size(height, width, scale)
        check_image_size(*size)
        view = resize_image(image, size)[np.newaxis]  # before normalisation, as in the reference
        for mirrored in range(len(sums)):
            logits = batch_logits(
                model, view[:, :, ::-1] if mirrored else view, protocol.window, protocol.stride
            )
            if mirrored:
                logits = keras.ops.flip(logits, 2)
            logits = resize_bilinear(logits, (height, width))
            probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(logits))[0]
            if sums[mirrored] is None:
                sums[mirrored] = np.array(probabilities)  # the tensor's own memory is read-only
            else:
                sums[mirrored] += probabilities
    views = len(protocol.scales)
    return [sums[0] / views, *((sums[0] + mirrored) / (2 * views) for mirrored in sums[1:])]
