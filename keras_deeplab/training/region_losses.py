"""Losses over class regions: Dice and Lovász-softmax.

Both are computed per image, so that the loss of a batch does not depend on its distribution over
devices, and averaged over the classes in the labels of the image.
"""

from typing import Any

import keras

from keras_deeplab.data.class_table import IGNORE_INDEX

Tensor = Any  # of the Keras backend


class _RegionLoss(keras.losses.Loss):
    """A loss per image and class, averaged over the labelled classes of the image."""

    def __init__(self, ignore_index: int, name: str, reduction: str) -> None:
        super().__init__(name=name, reduction=reduction, dtype="float32")
        self.ignore_index = ignore_index

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Loss per image `(N,)` of labels `(N, H, W)` and logits `(N, H, W, classes)`."""
        labels = keras.ops.cast(y_true, "int32")
        valid = keras.ops.not_equal(labels, self.ignore_index)
        labels = keras.ops.where(valid, labels, -1)  # one-hot of -1 is all zeros
        truth = keras.ops.one_hot(labels, y_pred.shape[-1], dtype="float32")
        losses = self.class_losses(truth, keras.ops.softmax(y_pred), valid[..., None])
        present = keras.ops.cast(keras.ops.any(truth > 0, axis=(1, 2)), losses.dtype)
        return keras.ops.divide_no_nan(
            keras.ops.sum(losses * present, axis=-1), keras.ops.sum(present, axis=-1)
        )

    def class_losses(self, truth: Tensor, probabilities: Tensor, valid: Tensor) -> Tensor:
        """Loss `(N, classes)` of truth and probabilities `(N, H, W, classes)`.

        `truth` is 0 or 1, and 0 for all classes where `valid` `(N, H, W, 1)` is false.
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "ignore_index": self.ignore_index}


@keras.saving.register_keras_serializable("keras_deeplab")
class DiceLoss(_RegionLoss):
    """Dice loss `1 - 2 sum(t p) / (sum(t) + sum(p))` per image and class, over valid pixels.

    `keras.losses.dice` of the softmax probabilities `p` and the one-hot labels `t` of every class.
    Its value for a class without labelled pixels is 1 for all logits: such classes are excluded
    from the mean. The loss of an image without valid pixels is 0.

    Args:
        ignore_index: Label value of ignored pixels.
    """

    def __init__(
        self,
        ignore_index: int = IGNORE_INDEX,
        name: str = "dice_loss",
        reduction: str = "sum_over_batch_size",
    ) -> None:
        super().__init__(ignore_index, name, reduction)

    def class_losses(self, truth: Tensor, probabilities: Tensor, valid: Tensor) -> Tensor:
        probabilities = keras.ops.where(valid, probabilities, 0.0)
        return keras.losses.dice(truth, probabilities, axis=(1, 2))


@keras.saving.register_keras_serializable("keras_deeplab")
class LovaszSoftmax(_RegionLoss):
    """Lovász-softmax loss: the Jaccard loss of every class, extended to probabilities.

    Berman et al. 2018 (arXiv 1705.08790), per image and over its labelled classes. For
    probabilities of 0 and 1 it is 1 minus the mean IoU of those classes. The loss of an image
    without valid pixels is 0.

    Args:
        ignore_index: Label value of ignored pixels.
    """

    def __init__(
        self,
        ignore_index: int = IGNORE_INDEX,
        name: str = "lovasz_softmax",
        reduction: str = "sum_over_batch_size",
    ) -> None:
        super().__init__(ignore_index, name, reduction)

    def class_losses(self, truth: Tensor, probabilities: Tensor, valid: Tensor) -> Tensor:
        errors = keras.ops.where(truth > 0, 1 - probabilities, probabilities)
        # Ignored pixels get error 0: they are sorted last and add nothing to the sum.
        errors = _pixels_last(keras.ops.where(valid, errors, 0.0))
        order = keras.ops.argsort(-keras.ops.stop_gradient(errors), axis=-1)
        truth = keras.ops.take_along_axis(_pixels_last(truth), order, axis=-1)
        errors = keras.ops.take_along_axis(errors, order, axis=-1)
        return keras.ops.sum(errors * _jaccard_increments(truth), axis=-1)


def _pixels_last(values: Tensor) -> Tensor:
    """Values `(N, H, W, classes)` as `(N, classes, H * W)`."""
    batch, height, width, classes = keras.ops.shape(values)
    return keras.ops.transpose(
        keras.ops.reshape(values, (batch, height * width, classes)), (0, 2, 1)
    )


def _jaccard_increments(truth: Tensor) -> Tensor:
    """Increments of the Jaccard loss `1 - I/U` as pixels along the last axis turn wrong one by one.

    A pixel of the class reduces the intersection `I` by one, any other increases the union `U` by
    one. The increments have a closed form: differences of neighbouring quotients would suffer from
    cancellation in float32.
    """
    total = keras.ops.sum(truth, axis=-1, keepdims=True)
    intersection = total - keras.ops.cumsum(truth, axis=-1)
    union = total + keras.ops.cumsum(1 - truth, axis=-1)
    missed = 1 / union
    intruding = keras.ops.divide_no_nan(intersection, union * (union - 1))
    return keras.ops.where(truth > 0, missed, intruding)
