"""Metrics of a model over a labelled dataset: `keras_deeplab.evaluate`."""

import dataclasses

from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.evaluation.metrics import SegmentationMetrics
from keras_deeplab.evaluation.predictions import named_in_errors, predictions
from keras_deeplab.prediction.protocols import Protocol, get_protocol


def evaluate(
    model,
    dataset,
    *,
    num_classes,
    scales=(1.0,),
    flip=False,
    window=None,
    stride=None,
    test_size=None,
    protocol=None,
    ignore_index=IGNORE_INDEX,
):
    """Evaluates a model at the original size of every image.

    Args:
        model: Model of logits, see `keras_deeplab.predict`.
        dataset: Iterable of `(image, label)`: `(H, W, C)` and `(H, W)`, as `data.from_folder`
            yields them, or batches of them. Images as `keras_deeplab.predict` takes them. One
            image at a time is in memory.
        num_classes: Number of classes.
        scales: Factors at which each image is predicted; the softmax of all is averaged.
        flip: Whether each scale is also predicted mirrored.
        window: Side of sliding windows, or `(height, width)`; `None` for whole images.
        stride: Step of the windows.
        test_size: Two lengths in pixels that each image is fitted into before `scales` apply, see
            `prediction.protocols.Protocol`; `None` keeps its size.
        protocol: `"published"`, `"published_ms_flip"`, `"whole_scene"`, or a `Protocol`, instead of
            scales, flip, window and stride.
        ignore_index: Label value that is not counted.

    Returns:
        `SegmentationMetrics`.

    Raises:
        ValueError: When an option is invalid; when an image or its label does not fit, which its
            number in the dataset names.
    """
    given = Protocol(scales=scales, flip=flip, window=window, stride=stride, test_size=test_size)
    if protocol is None:
        protocol = given
    else:
        if isinstance(protocol, str):
            protocol = get_protocol(protocol, test_size=test_size)
            given = dataclasses.replace(given, test_size=None)
        if given != Protocol():
            raise ValueError("protocol stands instead of scales, flip, window and stride.")
    return evaluate_views(model, dataset, num_classes, protocol, ignore_index=ignore_index)[-1]


def evaluate_views(
    model, dataset, num_classes, protocol, *, ignore_index, workers=1, worker=0, devices=(None,)
):
    """Metrics without and with the mirrored views, from one pass over the dataset.

    Of several workers each evaluates every so many-th image: the sum of their confusion matrices is
    that of one. Several devices of a worker (their names) share its images.

    Returns:
        List of `SegmentationMetrics`: one, or with `flip` two.
    """
    views = 2 if protocol.flip else 1
    metrics = [SegmentationMetrics(num_classes, ignore_index) for _ in range(views)]
    for prediction in predictions(
        model, dataset, protocol, workers=workers, worker=worker, devices=devices
    ):
        with named_in_errors(prediction.name):
            for counts, probabilities in zip(metrics, prediction.views, strict=True):
                counts.update(prediction.label, probabilities.argmax(-1))
    return metrics
