"""Metrics of a model over a labelled dataset: `keras_deeplab.evaluate`."""

from __future__ import annotations

import typing
from collections.abc import Sequence

from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.evaluation.metrics import SegmentationMetrics
from keras_deeplab.evaluation.predictions import LabelledImages, named_in_errors, predictions
from keras_deeplab.prediction.protocols import Protocol, choose_protocol
from keras_deeplab.prediction.views import check_scale, highest_float
from keras_deeplab.runtimes.predictor import Predictor, as_predictor

if typing.TYPE_CHECKING:
    import keras


def evaluate(
    model: keras.Model | Predictor,
    dataset: LabelledImages,
    *,
    num_classes: int | None = None,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    window: int | tuple[int, int] | None = None,
    stride: int | tuple[int, int] | None = None,
    test_size: tuple[int, int] | None = None,
    protocol: str | Protocol | None = None,
    ignore_index: int = IGNORE_INDEX,
) -> SegmentationMetrics:
    """Evaluates a model at the original size of every image.

    Args:
        model: Model of logits or `Predictor`, see `keras_deeplab.predict`.
        dataset: Iterable of `(image, label)`: `(H, W, C)` and `(H, W)`, as `data.from_folder`
            yields them, or batches of them. Images as for `keras_deeplab.predict`. Only one image
            at a time is in memory.
        num_classes: Number of classes; that of the model by default.
        scales: Scale factors of each image; the softmax outputs are averaged.
        flip: Whether to also predict each scale mirrored.
        window: Side of sliding windows in pixels, or `(height, width)`; `None` for whole images.
        stride: Step of the windows.
        test_size: Two lengths in pixels that each image is resized to fit before `scales` apply,
            see `prediction.protocols.Protocol`; `None` keeps its size.
        protocol: `"published"`, `"published_ms_flip"`, `"whole_scene"`, or a `Protocol`, instead of
            scales, flip, window and stride.
        ignore_index: Label value that is not counted.

    Raises:
        ValueError: When an option is invalid, or an image or its label does not fit the model;
            names the number of the image in the dataset. When all float images are within 0..1 and
            the model has no `value_range`.
    """
    chosen = choose_protocol(
        protocol, test_size=test_size, scales=scales, flip=flip, window=window, stride=stride
    )
    predictor = as_predictor(model)
    if num_classes is None:
        num_classes = predictor.network.classes
    views, highest = evaluate_views(
        predictor, dataset, num_classes, chosen, ignore_index=ignore_index
    )
    check_scale(predictor, highest)
    return views[-1]


def evaluate_views(
    predictor: Predictor,
    dataset: LabelledImages,
    num_classes: int,
    protocol: Protocol,
    *,
    ignore_index: int,
    workers: int = 1,
    worker: int = 0,
    devices: Sequence[str | None] = (None,),
) -> tuple[list[SegmentationMetrics], float]:
    """Metrics without and with the mirrored views, from one pass over the dataset.

    With several workers, each evaluates every `workers`-th image; the sum of their confusion
    matrices equals that of a single worker. The devices of a worker (names) share its images.

    Returns:
        List of `SegmentationMetrics`, one or with `flip` two, and the highest value of this
        worker's float images, for `check_scale`.
    """
    views = 2 if protocol.flip else 1
    metrics = [SegmentationMetrics(num_classes, ignore_index) for _ in range(views)]
    highest = 0.0
    for prediction in predictions(
        predictor, dataset, protocol, workers=workers, worker=worker, devices=devices
    ):
        with named_in_errors(prediction.name):
            for counts, probabilities in zip(metrics, prediction.views, strict=True):
                counts.update(prediction.label, probabilities.argmax(-1))
        highest = max(highest, highest_float(prediction.image))
    return metrics, highest
