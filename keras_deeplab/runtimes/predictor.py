"""The predictor: a callable from images to logits, whatever runtime computes them."""

from __future__ import annotations

import collections
import dataclasses
import json
import threading
import typing
from collections.abc import Callable

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab.models.inputs import check_image_size
from keras_deeplab.runtimes.resize import resize_bilinear
from keras_deeplab.zoo.metadata import ModelMetadata

if typing.TYPE_CHECKING:
    import keras

Engine = Callable[[np.ndarray], np.ndarray]  # float32 images (N, H, W, C) to logits (N, h, w, K)
MOST_SIZES = 8  # compiled sizes in memory: the six of the published test scales, and the next image


@dataclasses.dataclass(frozen=True)
class Network:
    """What a predictor has to know of its network.

    Args:
        name: What to call it in messages.
        metadata: `ModelMetadata`; `None` where it is unknown.
        channels: Number of input channels.
        classes: Number of classes.
        normalises: Whether it takes images 0..255 and normalises them itself.
    """

    name: str
    metadata: ModelMetadata | None
    channels: int
    classes: int
    normalises: bool

    def to_json(self) -> str:
        """The record as JSON text, for files of runtimes."""
        metadata = None if self.metadata is None else self.metadata.to_json()
        return json.dumps({**dataclasses.asdict(self), "metadata": metadata})


def network_from_json(text: str, *, where: str) -> Network:
    """The record of `Network.to_json`; a `ValueError` for another text, which names its file."""
    try:
        record = json.loads(text)
        metadata = record.pop("metadata")
        record.pop("export", None)  # see export_record.py
        if metadata is not None:
            metadata = ModelMetadata.from_json(metadata, where=where)
        return Network(metadata=metadata, **record)
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{where}: its entry 'keras_deeplab' was not written by this version ({error})."
        ) from error


class Predictor:
    """A model compiled for inference; `compile_for_inference` makes it.

    Call it with images `(N, H, W, C)` of any size of 32 pixels or more: 0..255, uint8 or float32;
    normalised float32 for a model without preprocessing. It returns float32 logits
    `(N, H, W, classes)`. Each image size is compiled at its first call. At most 8 compiled sizes
    are kept; the one that was not used for the longest time goes first.

    Attributes:
        runtime: `"keras"`, `"openvino"`, `"onnx"` or `"litert"`.
        precision: `"float32"` or `"bfloat16"`; `"int8"` for a quantised file; `"float16"` for a
            Keras model under that policy.
        network: `Network`.
        metadata: `ModelMetadata`; `None` where it is unknown.
        weights_sha256: Function that returns the SHA-256 of the weights: of their file, or of the
            arrays of a Keras model. `None` where there are no weights.
        source: Name or path that `compile_for_inference` makes the same predictor of in another
            process; `None` where it was made of a Keras model.

    Raises:
        ValueError: When images do not fit the model.
    """

    def __init__(
        self,
        network: Network,
        runtime: str,
        precision: str,
        compile_size: Callable[[tuple[int, int]], Engine],
        weights_sha256: Callable[[], str] | None = None,
    ) -> None:
        self.network = network
        self.runtime = runtime
        self.precision = precision
        self.weights_sha256 = weights_sha256
        self.source: str | None = None
        self._compile_size = compile_size
        self._engines: collections.OrderedDict[tuple[int, int], Engine] = collections.OrderedDict()
        self._lock = threading.Lock()

    @property
    def metadata(self) -> ModelMetadata | None:
        return self.network.metadata

    def __repr__(self) -> str:
        return f"<Predictor {self.network.name}: {self.runtime}, {self.precision}>"

    def __call__(self, images: np.ndarray) -> np.ndarray:
        images = np.asarray(images)
        channels = self.network.channels
        if images.ndim != 4 or images.shape[-1] != channels or not len(images):
            raise InputError(
                f"Expected images of shape (count, height, width, {channels}), got {images.shape}."
            )
        size = images.shape[1:3]
        logits = self.compile(size)(np.ascontiguousarray(images, np.float32))
        if logits.shape[-1] != self.network.classes:  # a file with the record of another model
            raise InputError(
                f"{self.network.name} has {logits.shape[-1]} outputs, but its metadata names "
                f"{self.network.classes} classes."
            )
        return resize_bilinear(logits, size)

    def compile(self, size: tuple[int, int]) -> Engine:
        """Compiles an image size, `(height, width)`, ahead of its first call."""
        check_image_size(*size)
        with self._lock:
            engine = self._engines.pop(size, None) or self._compile_size(size)
            self._engines[size] = engine
            if len(self._engines) > MOST_SIZES:
                self._engines.popitem(last=False)
        return engine


def as_predictor(model: keras.Model | Predictor) -> Predictor:
    """A predictor itself, or that of a Keras model as it is: computed by Keras, weights shared."""
    if isinstance(model, Predictor):
        return model
    from keras_deeplab.runtimes.keras_runtime import keras_predictor

    return keras_predictor(model)
