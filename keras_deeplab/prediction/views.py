"""The logits of one image: whole or by overlapping windows, resized and mirrored."""

import weakref

import keras
import numpy as np

from keras_deeplab.data.files.grid import window_starts
from keras_deeplab.models.layers import check_image_size

_COMPILED = weakref.WeakKeyDictionary()


def logits_function(model):
    """Function from a NumPy batch `(N, H, W, C)` to the model's float32 logits, a tensor.

    On TensorFlow it is traced once per model, for every size and batch.
    """
    if model not in _COMPILED:
        _COMPILED[model] = _build_logits_function(model)
    return _COMPILED[model]


def _build_logits_function(model):
    if any(layer.name.endswith("logits-activation") for layer in model.layers):
        raise ValueError(
            "Prediction and evaluation average probabilities of their own softmax and need a model "
            "of logits: build or load it with activation=None."
        )
    reference = weakref.ref(model)  # the cache must not keep the model alive

    def forward(images):
        outputs = reference()(images, training=False)
        return outputs["logits"] if isinstance(outputs, dict) else outputs

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)]
        forward = tf.function(forward, input_signature=signature)
    return lambda images: forward(images.astype("float32"))


def check_image(model, image):
    """Raises a `ValueError` when an image does not fit the model.

    Args:
        model: Model of `keras_deeplab.build`.
        image: `(H, W, C)`; uint8, or float32 on the same scale 0..255; for a model without
            preprocessing any normalised float32.
    """
    channels = model.input_shape[-1]
    if image.ndim != 3 or image.shape[-1] != channels:
        raise ValueError(
            f"Expected an image of shape (height, width, {channels}), got {image.shape}. "
            "Convert it, or build the model with other input channels."
        )
    normalises = model.get_layer("preprocessing").mean is not None
    if normalises and image.dtype != np.uint8:
        low, high = image.min(), image.max()
        # Nothing but black is 0..1 of 255; a picture is, when it was scaled for another model.
        if image.dtype.kind != "f" or low < 0 or high > 255 or 0 < high <= 1:
            raise ValueError(
                f"The model normalises images 0..255 itself, uint8 or float, got {image.dtype} "
                f"{low:g} to {high:g}: scale the image, or build the model with "
                "include_preprocessing=False."
            )
    check_image_size(*image.shape[:2])


def resize_image(image, size):
    """An image `(H, W, C)` of another size; uint8 is rounded, as the reference does."""
    if image.shape[:2] == size:
        return image
    resized = keras.ops.convert_to_numpy(resize_bilinear(image.astype("float32"), size))
    return np.rint(resized).astype(np.uint8) if image.dtype == np.uint8 else resized


def resize_bilinear(array, size):
    """Bilinear with half-pixel centres and no antialias.

    Args:
        array: `(H, W, C)` or `(N, H, W, C)` float32, a tensor or NumPy.
        size: `(height, width)`.

    Returns:
        `array` itself where it has that size, or else a tensor.
    """
    if tuple(array.shape[-3:-1]) == size:
        return array
    return keras.ops.image.resize(array, size, interpolation="bilinear", antialias=False)


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


def image_probabilities(model, image, protocol):
    """Mean softmax of the views of an image, first of those that are not mirrored.

    Views are predicted one at a time. A batch of an image and its mirror image would be no quicker
    on processors and need more memory, and what is predicted of an image would depend, in its last
    bits, on whether it is also mirrored.

    Args:
        model: Model of logits.
        image: `(H, W, C)`, see `check_image`.
        protocol: `Protocol`.

    Returns:
        List of `(H, W, classes)` float32 arrays: of the views that are not mirrored; and, where the
        protocol has `flip`, of all.

    Raises:
        ValueError: When the image does not fit the model, or a view is too small.
    """
    check_image(model, image)
    height, width = image.shape[:2]
    sums = [None, None] if protocol.flip else [None]
    for scale in protocol.scales:
        size = protocol.view_size(height, width, scale)
        check_image_size(*size)
        view = resize_image(image, size)[np.newaxis]  # before it is normalised, as the reference
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
