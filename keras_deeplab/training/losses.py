"""Losses over pixels, their weighted sums, and a loss by name.

All take integer labels `(N, H, W)` and logits `(N, H, W, classes)`, leave ignored pixels out, and
compute in float32 under every dtype policy.
"""

import math
import numbers

import keras

from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.training.region_losses import DiceLoss, LovaszSoftmax


@keras.saving.register_keras_serializable("keras_deeplab")
class SegmentationCrossentropy(keras.losses.Loss):
    """Cross-entropy of logits, zero at ignored pixels and averaged over all pixels.

    The reference divides by all pixels, ignored ones included (`avg_non_ignore=False` of
    mmsegmentation); Keras's `ignore_class` divides by the valid ones, as `divide_by="valid"` does.

    Under `tf.distribute`, every replica divides by the mean of the replicas' pixel counts: the
    total is the loss of the whole batch on one device, however the valid pixels are spread.

    Args:
        class_weights: One factor per class, or `None`. They do not enter the divisor.
        ignore_index: Label value without a loss.
        divide_by: `"all"` pixels or the `"valid"` ones; without a valid pixel the loss is 0.
            `"valid"` is meant for the default reduction.
    """

    def __init__(
        self,
        class_weights=None,
        ignore_index=IGNORE_INDEX,
        name="segmentation_crossentropy",
        reduction="sum_over_batch_size",
        divide_by="all",
    ):
        super().__init__(name=name, reduction=reduction, dtype="float32")
        if divide_by not in ("all", "valid"):
            raise ValueError(f"divide_by must be 'all' or 'valid' pixels, got {divide_by!r}.")
        self.class_weights = None if class_weights is None else [float(w) for w in class_weights]
        self.ignore_index = ignore_index
        self.divide_by = divide_by

    def call(self, y_true, y_pred):
        """Loss per pixel `(N, H, W)` of labels `(N, H, W)` and logits `(N, H, W, classes)`."""
        labels = keras.ops.cast(y_true, "int32")
        valid = keras.ops.not_equal(labels, self.ignore_index)
        labels = keras.ops.where(valid, labels, 0)
        losses = self.pixel_losses(labels, valid, y_pred)
        if self.class_weights is not None:
            losses = losses * self._factors(labels, y_pred.shape[-1])
        losses = keras.ops.where(valid, losses, 0.0)
        return losses * _pixels_per_valid_one(valid) if self.divide_by == "valid" else losses

    def pixel_losses(self, labels, valid, logits):
        """Loss per pixel before class weights; ignored pixels carry label 0 and any value."""
        return keras.ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)

    def _factors(self, labels, classes):
        if len(self.class_weights) != classes:
            raise ValueError(
                f"class_weights holds {len(self.class_weights)} factors, but the model has "
                f"{classes} classes: give one per class."
            )
        return keras.ops.take(keras.ops.array(self.class_weights, dtype="float32"), labels)

    def get_config(self):
        return {
            **super().get_config(),
            "class_weights": self.class_weights,
            "ignore_index": self.ignore_index,
            "divide_by": self.divide_by,
        }


@keras.saving.register_keras_serializable("keras_deeplab")
class OhemCrossentropy(SegmentationCrossentropy):
    """Cross-entropy of the hard pixels only: online hard example mining.

    Follows `OHEMPixelSampler` of mmsegmentation. Of the valid pixels' label probabilities, sorted
    upwards, let `p` be the one at index `min_kept * N` (the last one when there are fewer). Hard
    are the valid pixels below `max(threshold, p)`, and the others count 0 in the same average.
    Under `tf.distribute` every replica chooses among its own pixels.

    Args:
        threshold: Label probability in [0, 1] below which a pixel is hard.
        min_kept: Least number of hard pixels, per image of the batch on average.
        class_weights: As in `SegmentationCrossentropy`; the choice of pixels ignores them.
        ignore_index: As in `SegmentationCrossentropy`.
        divide_by: As in `SegmentationCrossentropy`; valid pixels need not be hard ones.
    """

    def __init__(
        self,
        threshold=0.7,
        min_kept=100_000,
        class_weights=None,
        ignore_index=IGNORE_INDEX,
        name="ohem_crossentropy",
        reduction="sum_over_batch_size",
        divide_by="all",
    ):
        super().__init__(class_weights, ignore_index, name, reduction, divide_by)
        self.threshold = threshold
        self.min_kept = min_kept

    def pixel_losses(self, labels, valid, logits):
        losses = super().pixel_losses(labels, valid, logits)
        probabilities = keras.ops.exp(-keras.ops.stop_gradient(losses))
        probabilities = keras.ops.where(valid, probabilities, float("inf"))  # sorted last
        index = keras.ops.minimum(
            self.min_kept * keras.ops.shape(labels)[0], keras.ops.count_nonzero(valid) - 1
        )
        ranked = keras.ops.sort(keras.ops.reshape(probabilities, (-1,)))
        last_kept = keras.ops.take(ranked, keras.ops.maximum(index, 0))
        hard = probabilities < keras.ops.maximum(last_kept, self.threshold)
        return keras.ops.where(hard, losses, 0.0)

    def get_config(self):
        return {**super().get_config(), "threshold": self.threshold, "min_kept": self.min_kept}


@keras.saving.register_keras_serializable("keras_deeplab")
class FocalCrossentropy(SegmentationCrossentropy):
    """Focal loss `-alpha (1 - p)^gamma log p` of the label's softmax probability `p`.

    Lin et al. 2017 (arXiv 1708.02002), as `keras.losses.categorical_focal_crossentropy` computes
    it: `p` is clipped to [1e-7, 1 - 1e-7], so that no pixel exceeds `16.2 alpha`, and one beyond
    the clip has no gradient.

    Args:
        gamma: Focus on hard pixels; 0 gives `alpha` times the cross-entropy.
        alpha: Factor of all classes; `class_weights` multiply it.
        class_weights: As in `SegmentationCrossentropy`.
        ignore_index: As in `SegmentationCrossentropy`.
        divide_by: As in `SegmentationCrossentropy`.
    """

    def __init__(
        self,
        gamma=2.0,
        alpha=0.25,
        class_weights=None,
        ignore_index=IGNORE_INDEX,
        name="focal_crossentropy",
        reduction="sum_over_batch_size",
        divide_by="all",
    ):
        super().__init__(class_weights, ignore_index, name, reduction, divide_by)
        self.gamma = gamma
        self.alpha = alpha

    def pixel_losses(self, labels, valid, logits):
        truth = keras.ops.one_hot(labels, logits.shape[-1], dtype="float32")
        return keras.losses.categorical_focal_crossentropy(
            truth, logits, alpha=self.alpha, gamma=self.gamma, from_logits=True
        )

    def get_config(self):
        return {**super().get_config(), "gamma": self.gamma, "alpha": self.alpha}


@keras.saving.register_keras_serializable("keras_deeplab")
class CombinedLoss(keras.losses.Loss):
    """Weighted sum of losses.

    Args:
        parts: Losses of this package, or others with a value per pixel or per image.
        weights: One factor per loss.
    """

    def __init__(self, parts, weights, name="combined_loss", reduction="sum_over_batch_size"):
        super().__init__(name=name, reduction=reduction, dtype="float32")
        self.parts = list(parts)
        self.weights = [float(weight) for weight in weights]

    def call(self, y_true, y_pred):
        """Loss per image `(N,)`; the mean over images of one size is the mean over pixels."""
        return sum(
            weight * _per_image(part.call(y_true, y_pred))
            for part, weight in zip(self.parts, self.weights, strict=True)
        )

    def get_config(self):
        parts = [keras.saving.serialize_keras_object(part) for part in self.parts]
        return {**super().get_config(), "parts": parts, "weights": self.weights}

    @classmethod
    def from_config(cls, config):
        parts = [keras.saving.deserialize_keras_object(part) for part in config["parts"]]
        return cls(**{**config, "parts": parts})


PIXEL_LOSSES = {
    "crossentropy": SegmentationCrossentropy,
    "ohem": OhemCrossentropy,
    "focal": FocalCrossentropy,
}
REGION_LOSSES = {"dice": DiceLoss, "lovasz": LovaszSoftmax}


def make_loss(spec, *, class_weights=None, divide_by="all"):
    """The loss of names and weights.

    Args:
        spec: Mapping of a name (`crossentropy`, `ohem`, `focal`, `dice`, `lovasz`) to its weight
            in the sum, such as `{"crossentropy": 1.0, "dice": 0.5}`.
        class_weights: One factor per class for `crossentropy`, `ohem` and `focal`, or `None`;
            `dice` and `lovasz` weigh all classes alike.
        divide_by: `"all"` or `"valid"` pixels, for the same three.

    Returns:
        `keras.losses.Loss`: the named one itself for a single name of weight 1, else a
        `CombinedLoss`.

    Raises:
        ValueError: When no loss or an unknown one is named, or a weight is not positive and finite.
    """
    known = [*PIXEL_LOSSES, *REGION_LOSSES]
    if not spec:
        raise ValueError(f"The loss names nothing: give one or more of {', '.join(known)}.")
    for name, weight in spec.items():
        if name not in known:
            raise ValueError(f"Unknown loss {name!r}: the known ones are {', '.join(known)}.")
        if not isinstance(weight, numbers.Real) or not 0 < weight < math.inf:
            raise ValueError(
                f"The weight of loss {name!r} must be a positive finite number, got {weight!r}."
            )
    parts = [
        PIXEL_LOSSES[name](class_weights=class_weights, divide_by=divide_by)
        if name in PIXEL_LOSSES
        else REGION_LOSSES[name]()
        for name in spec
    ]
    if list(spec.values()) == [1]:
        return parts[0]
    return CombinedLoss(parts, spec.values())


def _per_image(values):
    return keras.ops.mean(keras.ops.reshape(values, (keras.ops.shape(values)[0], -1)), axis=-1)


def _pixels_per_valid_one(valid):
    """Number of pixels over that of valid ones, which turns a mean over all into one over valid."""
    count = keras.ops.cast(keras.ops.count_nonzero(valid), "float32")
    pixels = keras.ops.cast(keras.ops.size(valid), "float32")
    return keras.ops.divide_no_nan(pixels, _mean_over_replicas(count))


def _mean_over_replicas(count):
    """Mean of a count over the replicas of `tf.distribute`; the count itself on one device."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        context = tf.distribute.get_replica_context()
        if context is not None and context.num_replicas_in_sync > 1:
            return context.all_reduce(tf.distribute.ReduceOp.MEAN, count)
    return count
