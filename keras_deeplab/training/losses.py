"""The loss of the published recipe."""

import keras

from keras_deeplab.data.class_table import IGNORE_INDEX


@keras.saving.register_keras_serializable("keras_deeplab")
class SegmentationCrossentropy(keras.losses.Loss):
    """Cross-entropy of logits, zero at ignored pixels and averaged over all pixels.

    The reference divides by all pixels, ignored ones included; Keras's `ignore_class` divides by
    the valid ones. Computed in float32 under every dtype policy.

    Args:
        class_weights: One factor per class, or `None`.
        ignore_index: Label value without a loss.
    """

    def __init__(
        self,
        class_weights=None,
        ignore_index=IGNORE_INDEX,
        name="segmentation_crossentropy",
        reduction="sum_over_batch_size",
    ):
        super().__init__(name=name, reduction=reduction, dtype="float32")
        self.class_weights = None if class_weights is None else [float(w) for w in class_weights]
        self.ignore_index = ignore_index

    def call(self, y_true, y_pred):
        """Loss per pixel `(N, H, W)` of labels `(N, H, W)` and logits `(N, H, W, classes)`."""
        labels = keras.ops.cast(y_true, "int32")
        valid = keras.ops.not_equal(labels, self.ignore_index)
        labels = keras.ops.where(valid, labels, 0)
        losses = keras.ops.sparse_categorical_crossentropy(labels, y_pred, from_logits=True)
        if self.class_weights is not None:
            losses = losses * keras.ops.take(
                keras.ops.array(self.class_weights, dtype="float32"), labels
            )
        return keras.ops.where(valid, losses, 0.0)

    def get_config(self):
        config = super().get_config()
        config.pop("dtype", None)
        return {
            **config,
            "class_weights": self.class_weights,
            "ignore_index": self.ignore_index,
        }
