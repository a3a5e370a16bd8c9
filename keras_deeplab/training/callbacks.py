"""Keras callbacks: mIoU on a validation set."""

import keras

from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.evaluation.dataset import evaluate_views


class MeanIoU(keras.callbacks.Callback):
    """Adds `val_miou` and, with `flip`, `val_miou_flip` to the logs of an epoch.

    List it before the callbacks that read them, and tell those that more is better:
    `ModelCheckpoint(path, monitor="val_miou", mode="max", save_best_only=True)`.

    Args:
        dataset: Validation dataset of `(image, label)`, see `keras_deeplab.evaluate`. Images may
            differ in size; the network is traced once.
        num_classes: Number of classes.
        scales: Factors at which each image is predicted.
        flip: Whether to report the average with the mirrored views too.
        ignore_index: Label value that is not counted.
        every: Evaluate after every so many epochs.
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

    def on_epoch_end(self, epoch, logs=None):
        """Evaluates and writes the means, fractions 0..1, to `logs`."""
        if (epoch + 1) % self.every:
            return
        plain, flipped = evaluate_views(
            self.model,
            self.dataset,
            self.num_classes,
            scales=self.scales,
            flip=self.flip,
            ignore_index=self.ignore_index,
        )
        logs["val_miou"] = plain.result()["mIoU"]
        if self.flip:
            logs["val_miou_flip"] = flipped.result()["mIoU"]
