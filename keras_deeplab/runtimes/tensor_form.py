"""What a converted file takes and gives: layout, value range, and logits or probabilities."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np

from keras_deeplab._internal.errors import InputError

if typing.TYPE_CHECKING:
    from keras_deeplab.runtimes.predictor import Engine

SMALLEST = np.finfo(np.float32).tiny  # the logarithm of 0 would be infinite


@dataclasses.dataclass(frozen=True)
class TensorForm:
    """Form of the images and results of a file.

    Args:
        layout: `"NHWC"` or `"NCHW"`, of images and results.
        value_range: Lowest and highest value of 8-bit images; `None` for normalised images.
        output: `"logits"` or `"probabilities"`, after a softmax.
    """

    layout: str = "NHWC"
    value_range: tuple[float, float] | None = (0, 255)
    output: str = "logits"

    def check(self, *, where: str) -> None:
        """Raises a `ValueError` for a form of another version, which no code here feeds rightly."""
        plain = dataclasses.replace(NATIVE, value_range=None)
        if self not in (NATIVE, plain, CHANNELS_FIRST):
            raise InputError(f"{where}: its form was not written by this version: {self}.")

    def shape(self, size: tuple[int | None, int | None], last: int) -> tuple[int | None, ...]:
        """Shape of images or results without the batch, of a number of channels or classes."""
        return (last, *size) if self.layout == "NCHW" else (*size, last)

    def size_of(self, shape: typing.Sequence[int | None]) -> tuple[int | None, int | None]:
        """Height and width in the shape of a batch of images."""
        height, width = shape[2:] if self.layout == "NCHW" else shape[1:3]
        return height, width


NATIVE = TensorForm()  # what a predictor works with
CHANNELS_FIRST = TensorForm("NCHW", (0, 1), "probabilities")  # what Deepness and GeoDeep work with


def with_native_form(engine: Engine, form: TensorForm) -> Engine:
    """The engine of a file as a function of images `(N, H, W, C)`, 0..255, to logits.

    The logarithm of a softmax is the logits up to a constant of each pixel. So argmax, softmax, and
    averages of overlapping windows are those of the logits.
    """
    if form != CHANNELS_FIRST:
        return engine

    def logits(images: np.ndarray) -> np.ndarray:
        scaled = np.ascontiguousarray(np.moveaxis(images, -1, 1)) / np.float32(255)
        probabilities = np.moveaxis(engine(scaled), 1, -1)
        return np.log(np.maximum(probabilities, SMALLEST))

    return logits
