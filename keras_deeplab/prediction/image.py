"""Class probabilities of one image: `keras_deeplab.predict`."""

import numpy as np

from keras_deeplab.prediction.views import check_image, view_probabilities


def predict(model, image, *, scales=(1.0,), flip=False, window=None, stride=None):
    """Predicts the class probabilities of one image.

    Args:
        model: Model of `keras_deeplab.build` or `load`, with `activation=None`.
        image: `(H, W, C)` without batch axis: 0..255, uint8 or float32; normalised float32 for a
            model without preprocessing. At least 32 pixels a side at every scale.
        scales: Factors at which the image is predicted; the softmax of all is averaged.
        flip: Whether each scale is also predicted mirrored, averaged likewise.
        window: Side of overlapping square windows in pixels, or `(height, width)`; their logits
            are averaged. `None` predicts the whole image at once.
        stride: Step of the windows; three quarters of the window by default.

    Returns:
        `(H, W, classes)` float32 probabilities, summing to 1 over the classes.

    Raises:
        ValueError: When the image does not fit the model, is too small, or an option is invalid.
    """
    image = np.asarray(image)
    check_image(model, image)
    window, stride = resolve_window(window, stride)
    check_scales(scales)
    total, count = 0.0, 0
    for scale in scales:
        for probabilities in view_probabilities(model, image, scale, flip, window, stride):
            total, count = total + probabilities, count + 1
    return (total / count).astype(np.float32)


def check_scales(scales):
    """Raises a `ValueError` unless there is at least one scale and all are positive."""
    if not len(scales) or min(scales) <= 0:
        raise ValueError(f"scales must hold one or more positive factors, got {scales!r}.")


def resolve_window(window, stride):
    """`window` and `stride` as `(height, width)` pairs, or two `None`."""
    if window is None:
        if stride is not None:
            raise ValueError(f"stride={stride!r} needs a window.")
        return None, None
    window = (window, window) if np.isscalar(window) else tuple(window)
    if stride is None:
        stride = tuple(max(side * 3 // 4, 1) for side in window)
    stride = (stride, stride) if np.isscalar(stride) else tuple(stride)
    if min(stride) < 1 or any(step > side for step, side in zip(stride, window, strict=True)):
        raise ValueError(f"stride {stride} must lie between 1 and the window {window}.")
    return window, stride


def parse_scales(text):
    """Scales of a command-line option: factors separated by commas."""
    try:
        return tuple(float(scale) for scale in text.split(","))
    except ValueError:
        raise ValueError(f"scales must be numbers separated by commas, got {text!r}.") from None
