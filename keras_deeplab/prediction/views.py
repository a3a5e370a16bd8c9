"""Logits and probabilities of the views of one image: resized, mirrored, whole or in windows."""

from collections.abc import Iterator

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab.models.inputs import MIN_SIZE, check_image_size
from keras_deeplab.prediction.blending import Rows, blended_rows
from keras_deeplab.prediction.protocols import Protocol
from keras_deeplab.prediction.windows import Axis
from keras_deeplab.runtimes.predictor import Predictor
from keras_deeplab.runtimes.resize import resize_bilinear


def check_image(predictor: Predictor, image: np.ndarray) -> None:
    """Raises a `ValueError` when an image does not fit the model.

    Args:
        predictor: `Predictor`.
        image: `(H, W, C)`; uint8 or float32 in the range 0..255; any normalised float32 for a
            model without preprocessing.
    """
    channels = predictor.network.channels
    if image.ndim != 3 or image.shape[-1] != channels:
        raise InputError(
            f"Expected an image of shape (height, width, {channels}), got {image.shape}. "
            "Convert the image, or build the model with other input channels."
        )
    if predictor.network.normalises and image.dtype != np.uint8:
        low, high = image.min(), image.max()
        if image.dtype.kind != "f" or low < 0 or high > 255:
            raise _wrong_scale(f"{image.dtype} {low:g} to {high:g}")
    check_image_size(*image.shape[:2])


def check_scale(predictor: Predictor, highest: float) -> None:
    """Raises a `ValueError` when float images look as if scaled to 0..1 for another model.

    With a `value_range` in the metadata of the model nothing has to be guessed.

    Args:
        predictor: `Predictor`.
        highest: Highest value of the image, or of all images of a dataset: a single tile of it may
            be dark. 0 for uint8 or black images, which are valid.
    """
    stated = predictor.metadata is not None and predictor.metadata.value_range is not None
    if predictor.network.normalises and not stated and 0 < highest <= 1:
        raise _wrong_scale(f"float values up to {highest:g}")


def highest_float(image: np.ndarray) -> float:
    """Highest value of a float image; 0 for any other."""
    return float(image.max()) if image.dtype.kind == "f" else 0.0


def _wrong_scale(found: str) -> InputError:
    return InputError(
        f"The model normalises images 0..255 itself, uint8 or float, got {found}: rescale the "
        "image to 0..255, or build the model with include_preprocessing=False."
    )


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes an image `(H, W, C)`; uint8 is rounded, as in the reference."""
    if image.shape[:2] == size:
        return image
    resized = resize_bilinear(image.astype("float32"), size)
    return np.rint(resized).astype(np.uint8) if image.dtype == np.uint8 else resized


def logits_rows(predictor: Predictor, image: np.ndarray, protocol: Protocol) -> Iterator[Rows]:
    """Logits of an image; those of overlapping windows are averaged.

    Args:
        predictor: `Predictor`.
        image: `(H, W, C)`.
        protocol: Its window and stride; scales and flip do not count.

    Yields:
        First row and logits `(rows, W, classes)` float32, from top to bottom: with windows some
        rows at a time, else all at once.
    """
    if protocol.window is None or protocol.stride is None:
        yield 0, predictor(image[np.newaxis])[0]
        return
    rows, columns = (
        Axis(length, window, window - stride, even=True)
        for length, window, stride in zip(
            image.shape[:2], protocol.window, protocol.stride, strict=True
        )
    )

    def scores(i: int, j: int) -> np.ndarray:
        top, left = rows.starts[i], columns.starts[j]
        part = image[top : top + rows.size, left : left + columns.size]
        return predictor(part[np.newaxis])[0]

    yield from blended_rows(rows, columns, scores, predictor.network.classes, (0, image.shape[1]))


def image_labels(predictor: Predictor, image: np.ndarray, protocol: Protocol) -> np.ndarray:
    """Class indices `(H, W)` uint8 of an image: those of the highest probabilities.

    A protocol of windows with a single view needs memory for some rows of scores only.
    """
    plain = protocol.scales == (1.0,) and not protocol.flip and protocol.test_size is None
    if not plain:
        return image_probabilities(predictor, image, protocol)[-1].argmax(-1).astype(np.uint8)
    check_view(predictor, image, protocol)
    labels = np.empty(image.shape[:2], np.uint8)
    for top, logits in logits_rows(predictor, image, protocol):
        labels[top : top + len(logits)] = logits.argmax(-1)
    return labels


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, in place.

    The classes are few: NumPy reduces over them faster class by class than along the axis.
    """
    highest, total = logits[..., 0].copy(), np.zeros(logits.shape[:-1], np.float32)
    for index in range(logits.shape[-1]):
        np.maximum(highest, logits[..., index], out=highest)
    logits -= highest[..., np.newaxis]
    np.exp(logits, out=logits)
    for index in range(logits.shape[-1]):
        total += logits[..., index]
    logits /= total[..., np.newaxis]
    return logits


def check_view(predictor: Predictor, image: np.ndarray, protocol: Protocol) -> None:
    """Raises a `ValueError` when an image does not fit the model, or a window is too small."""
    check_image(predictor, image)
    if protocol.window is not None and min(protocol.window) < MIN_SIZE:
        raise InputError(
            f"window {protocol.window} is too small: the network needs {MIN_SIZE} pixels a side."
        )


def image_probabilities(
    predictor: Predictor, image: np.ndarray, protocol: Protocol
) -> list[np.ndarray]:
    """Mean softmax of the views of an image, without and with the mirrored views.

    Views are predicted one at a time. A batch of an image and its mirror image is not faster on
    CPUs and needs more memory, and the last bits of the prediction would depend on whether the
    image is also mirrored.

    Args:
        predictor: `Predictor`.
        image: `(H, W, C)`, see `check_image`.
        protocol: Scales, flip and windows.

    Returns:
        List of `(H, W, classes)` float32 arrays: the mean over the views that are not mirrored,
        and with `protocol.flip` the mean over all views.

    Raises:
        ValueError: When the image does not fit the model, or a view is too small.
    """
    check_view(predictor, image, protocol)
    height, width = image.shape[:2]
    sums: list[np.ndarray | None] = [None, None] if protocol.flip else [None]
    for scale in protocol.scales:
        size = protocol.view_size(height, width, scale)
        check_image_size(*size)
        view = resize_image(image, size)  # before normalisation, as in the reference
        for mirrored, total in enumerate(sums):
            rows = logits_rows(predictor, view[:, ::-1] if mirrored else view, protocol)
            logits = np.concatenate([part for _, part in rows])
            logits = logits[:, ::-1] if mirrored else logits
            probabilities = softmax(resize_bilinear(logits, (height, width)))
            sums[mirrored] = probabilities if total is None else total + probabilities
    views = len(protocol.scales)
    plain, *mirror = (total for total in sums if total is not None)
    return [plain / views, *((plain + other) / (2 * views) for other in mirror)]
