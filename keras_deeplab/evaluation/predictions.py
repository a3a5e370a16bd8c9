"""The predictions of a model over a labelled dataset, one image at a time."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab.prediction.protocols import Protocol
from keras_deeplab.prediction.views import image_probabilities
from keras_deeplab.runtimes.predictor import Predictor

LabelledImages = Iterable[tuple[np.ndarray, np.ndarray]]  # images and labels, batched or not
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The prediction of one labelled image.

    Args:
        index: Number of the image in its dataset, from 0.
        name: Name of the image.
        image: `(H, W, C)`.
        label: `(H, W)` class indices, or the ignore index.
        views: `(H, W, classes)` float32 probabilities without mirrored views and, where the
            protocol has `flip`, with them, see `image_probabilities`.
    """

    index: int
    name: str
    image: np.ndarray
    label: np.ndarray
    views: list[np.ndarray]


def predictions(
    predictor: Predictor,
    dataset: LabelledImages,
    protocol: Protocol,
    *,
    names: Iterable[str] | None = None,
    workers: int = 1,
    worker: int = 0,
    devices: Sequence[str | None] = (None,),
) -> Iterator[Prediction]:
    """Predicts the images of a dataset; at most one per device is in memory at a time.

    Args:
        predictor: `Predictor`.
        dataset: Iterable of `(image, label)`, or of batches of them.
        protocol: How to predict each image.
        names: A name per image, for errors and tables; by default their numbers.
        workers: Number of processes that share the images.
        worker: Index of this process; it predicts every `workers`-th image.
        devices: Names of devices of this process that share its images; `None` leaves the choice
            to TensorFlow.

    Yields:
        `Prediction`, in the order of the dataset.

    Raises:
        ValueError: When an image does not fit the model; names the image.
    """
    images = single_images(dataset)
    if names is None:
        named = ((f"image {index}", *pair) for index, pair in enumerate(images))
    else:
        named = ((name, *pair) for name, pair in zip(names, images, strict=True))
    ours = itertools.islice(enumerate(named), worker, None, workers)

    def predict(item: tuple[int, tuple[str, np.ndarray, np.ndarray]]) -> Prediction:
        index, (name, image, label) = item
        with named_in_errors(name):
            return Prediction(
                index, name, image, label, image_probabilities(predictor, image, protocol)
            )

    return on_devices(predict, ours, devices)


@contextlib.contextmanager
def named_in_errors(name: str) -> Iterator[None]:
    """Prefixes the message of a `ValueError` with the name of an image."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def on_devices(
    function: Callable[[Item], Result], items: Iterable[Item], devices: Sequence[str | None]
) -> Iterator[Result]:
    """Yields `function(item)` in the order of the items.

    Several devices work at the same time, each on one item in a thread of its own.
    """
    if len(devices) == 1:
        yield from map(function, items)
        return
    import tensorflow as tf

    def on_device(item: Item, device: str | None) -> Result:
        with tf.device(device):
            return function(item)

    pending: collections.deque[concurrent.futures.Future[Result]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(len(devices)) as pool:
        for item, device in zip(items, itertools.cycle(devices)):
            if len(pending) == len(devices):
                yield pending.popleft().result()
            pending.append(pool.submit(on_device, item, device))
        for future in pending:
            yield future.result()


def single_images(dataset: LabelledImages) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields `(image, label)` of a dataset, batched or not, as NumPy arrays."""
    for image, label in dataset:
        image, label = np.asarray(image), np.asarray(label)
        if image.ndim == 4:
            yield from zip(image, label, strict=True)
        else:
            yield image, label
