"""Keras callbacks: mIoU on a validation set."""

import keras
import numpy as np

from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.evaluation.dataset import evaluate_views
from keras_deeplab.training.distribution import (
    local_devices,
    strategy_of,
    sum_over_workers,
    worker_share,
)


class MeanIoU(keras.callbacks.Callback):
    """Adds `val_miou` and, with `flip`, `val_miou_flip` to the logs of an epoch.

    List it before the callbacks that read them, and tell those that more is better:
    `ModelCheckpoint(path, monitor="val_miou", mode="max", save_best_only=True)`.

    The workers and devices of a distributed training share the images: list it on every worker,
    with the same dataset. All get the same numbers, those of one device.

    Args:
        dataset: Validation dataset of `(image, label)`, see `keras_deeplab.evaluate`. Images may
            differ in size; the network is traced once.
        num_classes: Number of classes.
        scales: Factors at which each image is predicted.
        flip: Whether to report the average with the mirrored views too.
        ignore_index: Label value that is not counted.
        every: Evaluate after every so many epochs.

    Attributes:
        metrics: `SegmentationMetrics` of the last evaluation without flip; `None` before.
    """

    def __init__(
        self,
        dataset,
        num_classes,
        *,
        scales=(1.0,),
        flip=False,
        ignore_index=IGNORE_INDEX,
        every=1,
    ):
        super().__init__()
        self.dataset = dataset
        self.num_classes = num_classes
        self.scales = tuple(scales)
        self.flip = flip
        self.ignore_index = ignore_index
        self.every = every
        self.metrics = None

    def on_epoch_end(self, epoch, logs=None):
        """Evaluates and writes the means, fractions 0..1, to `logs`."""
        if (epoch + 1) % self.every:
            return
        strategy = strategy_of(self.model)
        workers, worker = worker_share(strategy)
        both = evaluate_views(
            self.model,
            self.dataset,
            self.num_classes,
            scales=self.scales,
            flip=self.flip,
            ignore_index=self.ignore_index,
            workers=workers,
            worker=worker,
            devices=local_devices(strategy),
        )
        total = sum_over_workers(strategy, np.stack([metrics.confusion for metrics in both]))
        ignored = sum_over_workers(strategy, np.array([metrics.ignored for metrics in both]))
        for index, metrics in enumerate(both):
            metrics.confusion, metrics.ignored = total[index], int(ignored[index])
        self.metrics, flipped = both
        logs["val_miou"] = self.metrics.result()["mIoU"]
        if self.flip:
            logs["val_miou_flip"] = flipped.result()["mIoU"]
