"""Losses per pixel, weighted sums of losses, and losses by name.

All take integer labels `(N, H, W)` and logits `(N, H, W, classes)`, skip ignored pixels, and
compute in float32 under every dtype policy.
"""

import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.replicas import gather_over_replicas, sum_over_replicas
from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.training.region_losses import DiceLoss, LovaszSoftmax, Tensor

# Of the pixels of an image: the reference keeps 100,000 per image, whatever its size. Those are as
# many of its crops for aerial imagery, and all pixels of crops up to 316.
OHEM_SHARE = 100_000 / 512**2


@keras.saving.register_keras_serializable("keras_deeplab")
class SegmentationCrossentropy(keras.losses.Loss):
    """Cross-entropy of logits, zero at ignored pixels, averaged over all or only valid pixels.

    The reference divides by all pixels, ignored ones included (`avg_non_ignore=False` of
    mmsegmentation); Keras's `ignore_class` divides by the valid pixels, as `divide_by="valid"`.

    Under `tf.distribute`, every replica divides by the mean of the replicas' pixel counts: the
    total equals the loss of the whole batch on one device, however valid pixels are distributed.

    Args:
        class_weights: One factor per class, or `None`. They do not change the divisor.
        ignore_index: Label value of ignored pixels.
        divide_by: Average the loss over `"all"` or only `"valid"` pixels; 0 without valid pixels.
            `"valid"` requires the default reduction.
    """

    def __init__(
        self,
        class_weights: Sequence[float] | None = None,
        ignore_index: int = IGNORE_INDEX,
        name: str = "segmentation_crossentropy",
        reduction: str = "sum_over_batch_size",
        divide_by: str = "all",
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype="float32")
        if divide_by not in ("all", "valid"):
            raise InputError(f"divide_by must be 'all' or 'valid' pixels, got {divide_by!r}.")
        self.class_weights = None if class_weights is None else [float(w) for w in class_weights]
        self.ignore_index = ignore_index
        self.divide_by = divide_by

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Loss per pixel `(N, H, W)` of labels `(N, H, W)` and logits `(N, H, W, classes)`."""
        labels = keras.ops.cast(y_true, "int32")
        valid = keras.ops.not_equal(labels, self.ignore_index)
        labels = keras.ops.where(valid, labels, 0)
        losses = self.pixel_losses(labels, valid, y_pred)
        if self.class_weights is not None:
            losses = losses * _class_factors(self.class_weights, labels, y_pred.shape[-1])
        losses = keras.ops.where(valid, losses, 0.0)
        if self.divide_by == "valid":
            losses *= _pixels_per_valid_one(valid, losses.dtype)
        return losses

    def pixel_losses(self, labels: Tensor, valid: Tensor, logits: Tensor) -> Tensor:
        """Loss per pixel before class weights; ignored pixels have label 0 and any loss."""
        return keras.ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "class_weights": self.class_weights,
            "ignore_index": self.ignore_index,
            "divide_by": self.divide_by,
        }


@keras.saving.register_keras_serializable("keras_deeplab")
class OhemCrossentropy(SegmentationCrossentropy):
    """Cross-entropy of the hard pixels only: online hard example mining (OHEM).

    Follows `OHEMPixelSampler` of mmsegmentation. Sort the label probabilities of the valid pixels
    in ascending order and let `p` be the one at index `min_kept * N` (the last one when there are
    fewer). Valid pixels below `max(threshold, p)` are hard; all others count as 0 in the average.
    Under `tf.distribute` the pixels are those of all replicas.

    Args:
        threshold: Label probability in [0, 1] below which a pixel is hard.
        min_kept: Minimum number of hard pixels, per image of the batch on average; `None` for
            38.1 % of the pixels of an image, which are the reference's 100,000 of 512 x 512.
        class_weights: As in `SegmentationCrossentropy`; they do not affect the selection.
        ignore_index: As in `SegmentationCrossentropy`.
        divide_by: As in `SegmentationCrossentropy`; `"valid"` counts all valid pixels, hard or not.
    """

    def __init__(
        self,
        threshold: float = 0.7,
        min_kept: int | None = None,
        class_weights: Sequence[float] | None = None,
        ignore_index: int = IGNORE_INDEX,
        name: str = "ohem_crossentropy",
        reduction: str = "sum_over_batch_size",
        divide_by: str = "all",
    ) -> None:
        super().__init__(class_weights, ignore_index, name, reduction, divide_by)
        self.threshold = threshold
        self.min_kept = min_kept

    def pixel_losses(self, labels: Tensor, valid: Tensor, logits: Tensor) -> Tensor:
        losses = super().pixel_losses(labels, valid, logits)
        probabilities = keras.ops.exp(-keras.ops.stop_gradient(losses))
        probabilities = keras.ops.where(valid, probabilities, 2.0)  # sorted last
        all_pixels = gather_over_replicas(probabilities)
        images, height, width = keras.ops.shape(labels)
        kept = self.min_kept
        if kept is None:
            kept = keras.ops.cast(OHEM_SHARE * keras.ops.cast(height * width, "float32"), "int32")
        kept *= all_pixels.shape[0] * images
        ranked = keras.ops.sort(keras.ops.reshape(all_pixels, (-1,)))
        index = keras.ops.minimum(kept, keras.ops.count_nonzero(ranked < 2.0) - 1)
        last_kept = keras.ops.take(ranked, keras.ops.maximum(index, 0))
        hard = probabilities < keras.ops.maximum(last_kept, self.threshold)
        return keras.ops.where(hard, losses, 0.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "threshold": self.threshold, "min_kept": self.min_kept}


@keras.saving.register_keras_serializable("keras_deeplab")
class FocalCrossentropy(SegmentationCrossentropy):
    """Focal loss `-alpha (1 - p)^gamma log p` of the label's softmax probability `p`.

    Lin et al. 2017 (arXiv 1708.02002), as `keras.losses.categorical_focal_crossentropy` computes
    it: `p` is clipped to [1e-7, 1 - 1e-7], so that no pixel exceeds `16.2 alpha`, and clipped
    pixels have no gradient.

    Args:
        gamma: Focus on hard pixels; 0 gives `alpha` times the cross-entropy.
        alpha: Factor of all classes, multiplied by `class_weights`.
        class_weights: As in `SegmentationCrossentropy`.
        ignore_index: As in `SegmentationCrossentropy`.
        divide_by: As in `SegmentationCrossentropy`.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        alpha: float = 0.25,
        class_weights: Sequence[float] | None = None,
        ignore_index: int = IGNORE_INDEX,
        name: str = "focal_crossentropy",
        reduction: str = "sum_over_batch_size",
        divide_by: str = "all",
    ) -> None:
        super().__init__(class_weights, ignore_index, name, reduction, divide_by)
        self.gamma = gamma
        self.alpha = alpha

    def pixel_losses(self, labels: Tensor, valid: Tensor, logits: Tensor) -> Tensor:
        truth = keras.ops.one_hot(labels, logits.shape[-1], dtype="float32")
        return keras.losses.categorical_focal_crossentropy(
            truth, logits, alpha=self.alpha, gamma=self.gamma, from_logits=True
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gamma": self.gamma, "alpha": self.alpha}


@keras.saving.register_keras_serializable("keras_deeplab")
class CombinedLoss(keras.losses.Loss):
    """Weighted sum of losses.

    Args:
        parts: Losses of this package, or others that return a value per pixel or per image.
        weights: One factor per loss.
    """

    def __init__(
        self,
        parts: Iterable[keras.losses.Loss],
        weights: Iterable[float],
        name: str = "combined_loss",
        reduction: str = "sum_over_batch_size",
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype="float32")
        self.parts = list(parts)
        self.weights = [float(weight) for weight in weights]

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Loss per image `(N,)`; for images of equal size, their mean is the mean over pixels."""
        return sum(
            weight * _per_image(part.call(y_true, y_pred))
            for part, weight in zip(self.parts, self.weights, strict=True)
        )

    def get_config(self) -> dict[str, Any]:
        parts = [keras.saving.serialize_keras_object(part) for part in self.parts]
        return {**super().get_config(), "parts": parts, "weights": self.weights}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "CombinedLoss":
        parts = [keras.saving.deserialize_keras_object(part) for part in config["parts"]]
        return cls(**{**config, "parts": parts})


PIXEL_LOSSES = {
    "crossentropy": SegmentationCrossentropy,
    "ohem": OhemCrossentropy,
    "focal": FocalCrossentropy,
}
REGION_LOSSES = {"dice": DiceLoss, "lovasz": LovaszSoftmax}


def make_loss(
    spec: Mapping[str, float],
    *,
    class_weights: Sequence[float] | None = None,
    divide_by: str = "all",
    ohem_min_kept: int | None = None,
) -> keras.losses.Loss:
    """A loss from names and weights.

    Args:
        spec: Weights in the sum by name (`crossentropy`, `ohem`, `focal`, `dice`, `lovasz`), for
            example `{"crossentropy": 1.0, "dice": 0.5}`.
        class_weights: One factor per class for `crossentropy`, `ohem` and `focal`, or `None`;
            `dice` and `lovasz` weight all classes equally.
        divide_by: Average the same three over `"all"` or only `"valid"` pixels.
        ohem_min_kept: `min_kept` of `ohem`, see `OhemCrossentropy`.

    Returns:
        The named loss itself for a single name with weight 1, otherwise a `CombinedLoss`.

    Raises:
        ValueError: When `spec` is not a dict or empty, a name is unknown, a weight is not positive
            and finite, or no loss takes the class weights or `ohem_min_kept`.
    """
    known = [*PIXEL_LOSSES, *REGION_LOSSES]
    if not isinstance(spec, Mapping):
        raise InputError(f"The loss must be a dict such as {{'dice': 1.0}}, got {spec!r}.")
    if not spec:
        raise InputError(f"The loss is empty: give one or more of {', '.join(known)}.")
    for name, weight in spec.items():
        if name not in known:
            raise InputError(f"Unknown loss {name!r}: choose from {', '.join(known)}.")
        if not isinstance(weight, numbers.Real) or not 0 < weight < math.inf:
            raise InputError(
                f"The weight of loss {name!r} must be a positive finite number, got {weight!r}."
            )
    if class_weights is not None and not PIXEL_LOSSES.keys() & spec.keys():
        raise InputError(
            f"class_weights (--class-weights) have no effect on {', '.join(spec)}: leave them "
            f"out, or add one of {', '.join(PIXEL_LOSSES)}."
        )
    if ohem_min_kept is not None:
        if "ohem" not in spec:
            raise InputError(f"ohem_min_kept is for the loss ohem, not for {', '.join(spec)}.")
        if ohem_min_kept < 1:
            raise InputError(f"ohem_min_kept must be 1 or more, got {ohem_min_kept}.")
    own: dict[str, dict[str, Any]] = {"ohem": {"min_kept": ohem_min_kept}}
    parts = [
        PIXEL_LOSSES[name](class_weights=class_weights, divide_by=divide_by, **own.get(name, {}))
        if name in PIXEL_LOSSES
        else REGION_LOSSES[name]()
        for name in spec
    ]
    if list(spec.values()) == [1]:
        return parts[0]
    return CombinedLoss(parts, spec.values())


def _class_factors(weights: list[float], labels: Tensor, classes: int) -> Tensor:
    if len(weights) != classes:
        raise InputError(
            f"class_weights has {len(weights)} factors, but the model has {classes} classes: give "
            "one factor per class."
        )
    return keras.ops.take(keras.ops.array(weights, dtype="float32"), labels)


def _per_image(values: Tensor) -> Tensor:
    return keras.ops.mean(keras.ops.reshape(values, (keras.ops.shape(values)[0], -1)), axis=-1)


def _pixels_per_valid_one(valid: Tensor, dtype: Any) -> Tensor:
    """All pixels over valid pixels: turns a mean over all pixels into one over valid pixels."""
    count = keras.ops.cast(keras.ops.count_nonzero(valid), dtype)
    pixels = keras.ops.cast(keras.ops.size(valid), dtype)
    return keras.ops.divide_no_nan(*sum_over_replicas([pixels, count]))
