"""Comparison of an exported file, run in its own runtime, with Keras in float32."""

from __future__ import annotations

import pathlib

import numpy as np
from scipy.special import softmax

from keras_deeplab._internal.errors import InputError
from keras_deeplab.runtimes.check_batch import check_batch
from keras_deeplab.runtimes.export_record import Agreement
from keras_deeplab.runtimes.formats import Format
from keras_deeplab.runtimes.source import ModelSource
from keras_deeplab.runtimes.tensor_form import TensorForm, with_native_form

EQUAL_CLASSES = 0.999  # of the pixels


def compare(
    source: ModelSource,
    file: pathlib.Path,
    kind: Format,
    form: TensorForm,
    sizes: list[tuple[int, int]],
) -> Agreement:
    """How a file compares with Keras on the check image of its model.

    Args:
        source: The model.
        file: The file.
        kind: Its format.
        form: Its form.
        sizes: Sizes of the images.

    Raises:
        ValueError: When it fails, or fewer than 99.9 % of the pixels have the class of Keras.
    """
    from keras_deeplab.runtimes.keras_runtime import keras_predictor

    keras_logits = keras_predictor(source.float32_model)
    whole = check_batch(source)
    equal, pixels, difference = 0, 0, 0.0
    for size in sizes:
        images = _fitted(whole, size)
        expected = keras_logits(images)
        try:
            engine = with_native_form(kind.module.compile_file(file, size, "float32"), form)
            results = engine(images)
        except Exception as error:  # of classes that ONNX Runtime does not export
            reason = str(error).strip().splitlines()[-1]
            raise InputError(
                f"{file.name} is not written: it fails on images of {size}: {reason}"
            ) from error
        if form.output == "probabilities":
            results, expected = np.exp(results), softmax(expected, axis=-1)
        same = results.argmax(-1) == expected.argmax(-1)
        equal, pixels = equal + int(same.sum()), pixels + same.size
        difference = max(difference, float(np.abs(results - expected).max()))
    if equal < EQUAL_CLASSES * pixels or not np.isfinite(difference):
        raise InputError(
            f"{file.name} is not written: {equal / pixels:.3%} of the pixels of the check have the "
            f"class of Keras, {EQUAL_CLASSES:.1%} are needed. The largest difference of "
            f"{form.output} is {difference:.1e}."
        )
    image = "noise" if source.check_image is None else "check image"
    return Agreement(equal / pixels, difference, pixels, image)


def _fitted(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Images cropped to a size, or continued as in a mirror."""
    images = images[:, : size[0], : size[1]].astype(np.float32)
    missing = [(0, max(0, side - has)) for side, has in zip(size, images.shape[1:3], strict=True)]
    return np.pad(images, [(0, 0), *missing, (0, 0)], mode="symmetric")
