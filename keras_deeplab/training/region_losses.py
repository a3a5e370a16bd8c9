"""Losses over the regions of an image's classes: Dice and Lovász-softmax.

Both measure every image by itself, so that the value of a batch does not depend on how it is spread
over devices, and average over the classes that the image's labels hold.
"""

import keras

from keras_deeplab.data.class_table import IGNORE_INDEX


class _RegionLoss(keras.losses.Loss):
    """A loss of every class and image, averaged over the present classes of the image."""

    def __init__(self, ignore_index, name, reduction):
        super().__init__(name=name, reduction=reduction, dtype="float32")
        self.ignore_index = ignore_index

    def call(self, y_true, y_pred):
        """Loss per image `(N,)` of labels `(N, H, W)` and logits `(N, H, W, classes)`."""
        labels = keras.ops.cast(y_true, "int32")
        valid = keras.ops.not_equal(labels, self.ignore_index)
        labels = keras.ops.where(valid, labels, -1)  # one-hot without a one
        truth = keras.ops.one_hot(labels, y_pred.shape[-1], dtype="float32")
        losses = self.class_losses(truth, keras.ops.softmax(y_pred), valid[..., None])
        present = keras.ops.cast(keras.ops.any(truth > 0, axis=(1, 2)), "float32")
        return keras.ops.divide_no_nan(
            keras.ops.sum(losses * present, axis=-1), keras.ops.sum(present, axis=-1)
        )

    def class_losses(self, truth, probabilities, valid):
        """Loss `(N, classes)` of truth and probabilities `(N, H, W, classes)`.

        `truth` is 0 or 1, and 0 for all classes where `valid` `(N, H, W, 1)` is false.
        """
        raise NotImplementedError

    def get_config(self):
        return {**super().get_config(), "ignore_index": self.ignore_index}


@keras.saving.register_keras_serializable("keras_deeplab")
class DiceLoss(_RegionLoss):
    """Dice loss `1 - 2 sum(t p) / (sum(t) + sum(p))` per image and class, over valid pixels.

    `keras.losses.dice` of the softmax probabilities `p` and the one-hot labels `t` of every class.
    Its value for a class without a labelled pixel is 1 whatever the logits: such classes are left
    out of the mean. An image without a valid pixel counts 0.

    Args:
        ignore_index: Label value without a loss.
    """

    def __init__(
        self, ignore_index=IGNORE_INDEX, name="dice_loss", reduction="sum_over_batch_size"
    ):
        super().__init__(ignore_index, name, reduction)

    def class_losses(self, truth, probabilities, valid):
        probabilities = keras.ops.where(valid, probabilities, 0.0)
        return keras.losses.dice(truth, probabilities, axis=(1, 2))


@keras.saving.register_keras_serializable("keras_deeplab")
class LovaszSoftmax(_RegionLoss):
    """Lovász-softmax loss: the Jaccard loss of every class, extended to probabilities.

    Berman et al. 2018 (arXiv 1705.08790), per image and for the present classes. For probabilities
    of 0 and 1 it is 1 minus the mean IoU of those classes. An image without a valid pixel counts 0.

    Args:
        ignore_index: Label value without a loss.
    """

    def __init__(
        self, ignore_index=IGNORE_INDEX, name="lovasz_softmax", reduction="sum_over_batch_size"
    ):
        super().__init__(ignore_index, name, reduction)

    def class_losses(self, truth, probabilities, valid):
        errors = keras.ops.where(truth > 0, 1 - probabilities, probabilities)
        # Without an error, ignored pixels come after all that have one, and add nothing.
        errors = _pixels_last(keras.ops.where(valid, errors, 0.0))
        order = keras.ops.argsort(-keras.ops.stop_gradient(errors), axis=-1)
        truth = keras.ops.take_along_axis(_pixels_last(truth), order, axis=-1)
        errors = keras.ops.take_along_axis(errors, order, axis=-1)
        return keras.ops.sum(errors * _jaccard_increments(truth), axis=-1)


def _pixels_last(values):
    """Values `(N, H, W, classes)` as `(N, classes, H * W)`."""
    batch, height, width, classes = keras.ops.shape(values)
    return keras.ops.transpose(
        keras.ops.reshape(values, (batch, height * width, classes)), (0, 2, 1)
    )


def _jaccard_increments(truth):
    """Growth of the Jaccard loss `1 - I/U` as pixels, along the last axis, turn wrong one by one.

    A pixel of the class takes one from the intersection `I`, any other adds one to the union `U`.
    The differences are written out: those of neighbouring quotients would cancel in float32.
    """
    total = keras.ops.sum(truth, axis=-1, keepdims=True)
    intersection = total - keras.ops.cumsum(truth, axis=-1)
    union = total + keras.ops.cumsum(1 - truth, axis=-1)
    missed = 1 / union
    intruding = keras.ops.divide_no_nan(intersection, union * (union - 1))
    return keras.ops.where(truth > 0, missed, intruding)
