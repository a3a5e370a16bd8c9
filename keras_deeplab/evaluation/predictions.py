"""The predictions of a model over a labelled dataset, one image at a time."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import itertools

import numpy as np

from keras_deeplab.prediction.views import image_probabilities


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a model says of one labelled image.

    Args:
        index: Number of the image in its dataset, from 0.
        name: What to call it.
        image: `(H, W, C)`.
        label: `(H, W)` class indices, or the ignore index.
        views: List of `(H, W, classes)` float32 probabilities: those without mirrored views and,
            where the protocol has them, those with, see `image_probabilities`.
    """

    index: int
    name: str
    image: np.ndarray
    label: np.ndarray
    views: list


def predictions(model, dataset, protocol, *, names=None, workers=1, worker=0, devices=(None,)):
    """Predicts the images of a dataset; at most one per device is in memory at a time.

    Args:
        model: Model of logits, see `keras_deeplab.predict`.
        dataset: Iterable of `(image, label)`, or of batches of them.
        protocol: `Protocol`.
        names: Iterable of a name per image, for errors and tables; by default their numbers.
        workers: Number of processes that share the images.
        worker: Which of them this is; it gets every so many-th image.
        devices: Names of devices of this process that share its images; `None` leaves the choice
            to TensorFlow.

    Yields:
        `Prediction`, in the order of the dataset.

    Raises:
        ValueError: When an image does not fit the model; names it.
    """
    images = single_images(dataset)
    if names is None:
        named = ((f"image {index}", *pair) for index, pair in enumerate(images))
    else:
        named = ((name, *pair) for name, pair in zip(names, images, strict=True))
    ours = itertools.islice(enumerate(named), worker, None, workers)

    def predict(item):
        index, (name, image, label) = item
        with named_in_errors(name):
            return Prediction(
                index, name, image, label, image_probabilities(model, image, protocol)
            )

    return on_devices(predict, ours, devices)


@contextlib.contextmanager
def named_in_errors(name):
    """Puts the name of an image before the message of a `ValueError`."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def on_devices(function, items, devices):
    """Yields `function(item)` in the order of the items.

    With several devices as many items are in work at a time, each in a thread on its device.
    """
    if len(devices) == 1:
        yield from map(function, items)
        return
    import tensorflow as tf

    def on_device(item, device):
        with tf.device(device):
            return function(item)

    pending = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(len(devices)) as pool:
        for item, device in zip(items, itertools.cycle(devices)):
            if len(pending) == len(devices):
                yield pending.popleft().result()
            pending.append(pool.submit(on_device, item, device))
        for future in pending:
            yield future.result()


def single_images(dataset):
    """Yields `(image, label)` NumPy arrays of a dataset, batched or not."""
    for image, label in dataset:
        image, label = np.asarray(image), np.asarray(label)
        if image.ndim == 4:
            yield from zip(image, label, strict=True)
        else:
            yield image, label
