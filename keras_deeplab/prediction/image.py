"""Class probabilities of one image: `keras_deeplab.predict`."""

from __future__ import annotations

import typing
from collections.abc import Sequence

import numpy as np

from keras_deeplab.prediction.protocols import Protocol, choose_protocol
from keras_deeplab.prediction.views import (
    check_image,
    check_scale,
    highest_float,
    image_probabilities,
)
from keras_deeplab.runtimes.predictor import Predictor, as_predictor

if typing.TYPE_CHECKING:
    import keras


def predict(
    model: keras.Model | Predictor,
    image: np.ndarray,
    *,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    window: int | tuple[int, int] | None = None,
    stride: int | tuple[int, int] | None = None,
    protocol: str | Protocol | None = None,
) -> np.ndarray:
    """Predicts the class probabilities of one image.

    Args:
        model: Model of `keras_deeplab.build` or `load`, with `activation=None`, which Keras
            computes; or a `Predictor` of `keras_deeplab.compile_for_inference`, which is faster.
        image: `(H, W, C)` without batch axis: 0..255, uint8 or float32; normalised float32 for a
            model without preprocessing. At least 32 pixels per side at every scale.
        scales: Scale factors of the image; the softmax outputs are averaged.
        flip: Whether to also predict each scale mirrored and average both.
        window: Side of square sliding windows in pixels, or `(height, width)`; the logits of
            overlapping windows are averaged. `None` predicts the whole image at once.
        stride: Step of the windows; three quarters of the window by default.
        protocol: `"published"`, `"published_ms_flip"`, `"whole_scene"`, or a `Protocol`, instead of
            scales, flip, window and stride.

    Returns:
        `(H, W, classes)` float32 probabilities, summing to 1 over the classes.

    Raises:
        ValueError: When the image does not fit the model, is too small, or an option is invalid.
    """
    chosen = choose_protocol(protocol, scales=scales, flip=flip, window=window, stride=stride)
    predictor, image = as_predictor(model), np.asarray(image)
    check_image(predictor, image)
    check_scale(predictor, highest_float(image))
    return image_probabilities(predictor, image, chosen)[-1]
