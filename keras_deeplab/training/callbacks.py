"""Keras callback for mIoU on a validation set."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.evaluation.dataset import evaluate_views
from keras_deeplab.evaluation.metrics import SegmentationMetrics
from keras_deeplab.evaluation.predictions import LabelledImages
from keras_deeplab.prediction.protocols import Protocol
from keras_deeplab.prediction.views import check_scale
from keras_deeplab.runtimes.predictor import as_predictor
from keras_deeplab.training.distributed.strategies import (
    local_devices,
    strategy_of,
    sum_over_workers,
    worker_share,
)


class MeanIoU(keras.callbacks.Callback):
    """Adds `val_miou` and, with `flip`, `val_miou_flip` to the logs of an epoch.

    Put it before callbacks that read these logs, and set their mode to `"max"`:
    `ModelCheckpoint(path, monitor="val_miou", mode="max", save_best_only=True)`.

    In a distributed training, workers and devices share the images: add the callback on every
    worker, with the same dataset. All workers get the same values as a single device.

    Args:
        dataset: Validation dataset of `(image, label)`, see `keras_deeplab.evaluate`. Images may
            differ in size; the network is traced once.
        num_classes: Number of classes.
        scales: Scale factors of each image.
        flip: Whether to also report the average with the mirrored views.
        ignore_index: Label value that is not counted.
        every: Number of epochs between evaluations.

    Attributes:
        metrics: `SegmentationMetrics` of the last evaluation without flip; `None` before.
    """

    def __init__(
        self,
        dataset: LabelledImages,
        num_classes: int,
        *,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        ignore_index: int = IGNORE_INDEX,
        every: int = 1,
    ) -> None:
        super().__init__()
        self.dataset = dataset
        self.num_classes = num_classes
        self.protocol = Protocol(scales=scales, flip=flip)
        self.ignore_index = ignore_index
        self.every = every
        self.metrics: SegmentationMetrics | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Evaluates the model and writes the mIoU, a fraction 0..1, to `logs`."""
        if (epoch + 1) % self.every:
            return
        strategy = strategy_of(self.model)
        workers, worker = worker_share(strategy)
        predictor = as_predictor(self.model)
        measured, highest = evaluate_views(
            predictor,
            self.dataset,
            self.num_classes,
            self.protocol,
            ignore_index=self.ignore_index,
            workers=workers,
            worker=worker,
            devices=local_devices(strategy),
        )
        # Of all workers: one that stopped alone would leave the others waiting for it.
        of_workers = np.where(np.arange(workers) == worker, highest, 0.0)
        check_scale(predictor, sum_over_workers(strategy, of_workers).max())
        for metrics in measured:
            metrics.confusion = sum_over_workers(strategy, metrics.confusion)
            metrics.ignored = int(sum_over_workers(strategy, np.int64(metrics.ignored)))
        self.metrics = measured[0]
        logs["val_miou"] = self.metrics.result()["mIoU"]
        if self.protocol.flip:
            logs["val_miou_flip"] = measured[1].result()["mIoU"]
