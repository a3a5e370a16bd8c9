"""Metrics of a model over a labelled dataset: `keras_deeplab.evaluate`."""

import collections
import concurrent.futures
import itertools

import numpy as np

from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.evaluation.metrics import SegmentationMetrics
from keras_deeplab.prediction.image import check_scales, resolve_window
from keras_deeplab.prediction.views import check_image, view_probabilities


def evaluate(
    model,
    dataset,
    *,
    num_classes,
    scales=(1.0,),
    flip=False,
    window=None,
    stride=None,
    ignore_index=IGNORE_INDEX,
):
    """Evaluates a model at the original size of every image.

    Args:
        model: Model of logits, see `keras_deeplab.predict`.
        dataset: Iterable of `(image, label)`: `(H, W, C)` and `(H, W)`, as `data.from_folder`
            yields them, or batches of them. Images as `keras_deeplab.predict` takes them.
        num_classes: Number of classes.
        scales: Factors at which each image is predicted; the softmax of all is averaged.
        flip: Whether each scale is also predicted mirrored.
        window: Side of sliding windows, or `None` for whole images.
        stride: Step of the windows.
        ignore_index: Label value that is not counted.

    Returns:
        `SegmentationMetrics`.
    """
    plain, flipped = evaluate_views(
        model,
        dataset,
        num_classes,
        scales=scales,
        flip=flip,
        window=window,
        stride=stride,
        ignore_index=ignore_index,
    )
    return flipped if flip else plain


def evaluate_views(
    model,
    dataset,
    num_classes,
    *,
    scales,
    flip,
    window=None,
    stride=None,
    ignore_index,
    workers=1,
    worker=0,
    devices=(None,),
):
    """Metrics without and with the mirrored views, from one pass over the dataset.

    Of several workers each evaluates every so many-th image: the sum of their confusion matrices is
    that of one. Several devices of a worker (their names) share its images.

    Returns:
        Two `SegmentationMetrics`; without `flip` the second is empty.
    """
    window, stride = resolve_window(window, stride)
    check_scales(scales)
    plain = SegmentationMetrics(num_classes, ignore_index)
    flipped = SegmentationMetrics(num_classes, ignore_index)

    def class_maps(image):
        check_image(model, image)
        totals = [0.0, 0.0]
        for scale in scales:
            views = view_probabilities(model, image, scale, flip, window, stride)
            for index, probabilities in enumerate(views):
                totals[index] = totals[index] + probabilities
        return [totals[0].argmax(-1), (totals[0] + totals[1]).argmax(-1) if flip else None]

    ours = itertools.islice(single_images(dataset), worker, None, workers)
    for label, (one_view, both_views) in on_devices(class_maps, ours, devices):
        plain.update(label, one_view)
        if flip:
            flipped.update(label, both_views)
    return plain, flipped


def on_devices(function, pairs, devices):
    """Yields `(label, function(image))` of `(image, label)` pairs, in order.

    With several devices as many images are in work at a time, each in a thread on its device.
    """
    if len(devices) == 1:
        for image, label in pairs:
            yield label, function(image)
        return
    import tensorflow as tf

    def on_device(image, device):
        with tf.device(device):
            return function(image)

    pending = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(len(devices)) as pool:
        for (image, label), device in zip(pairs, itertools.cycle(devices)):
            if len(pending) == len(devices):
                finished, future = pending.popleft()
                yield finished, future.result()
            pending.append((label, pool.submit(on_device, image, device)))
        for finished, future in pending:
            yield finished, future.result()


def single_images(dataset):
    """Yields `(image, label)` NumPy arrays of a dataset, batched or not."""
    for image, label in dataset:
        image, label = np.asarray(image), np.asarray(label)
        if image.ndim == 4:
            yield from zip(image, label, strict=True)
        else:
            yield image, label
