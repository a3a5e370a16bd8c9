"""Precise batch norm: statistics for prediction, computed afresh from many batches.

During training, the moving statistics of batch norm lag behind the weights, are of few batches and
of resized images. All three make predictions worse. Wu and Johnson, "Rethinking 'Batch' in
BatchNorm" (2021), section 3, recompute them with fixed weights.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_deeplab.training.loop.averaging import averaged_weights


class PreciseBatchNorm(keras.callbacks.Callback):
    """Recomputes the statistics at the end of an epoch, for the averaged weights, if any.

    Put it before the validation. Training is not changed: it uses the statistics of its batches.

    Args:
        batches: Finite dataset of `(images, labels)`, the same at every epoch on every worker.
    """

    def __init__(self, batches: tf.data.Dataset) -> None:
        super().__init__()
        self.batches = batches

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        with averaged_weights(self.model):
            set_batch_norm_statistics(self.model, self.batches)


def set_batch_norm_statistics(model: keras.Model, batches: tf.data.Dataset) -> None:
    """Sets mean and variance of the batch norms that are not frozen to those of a dataset.

    The mean is the average of the batches' means. The variance is the average of their variances
    plus the variance of their means: that of all positions, if batches are of equal size.
    """
    norms = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    if not norms:
        return
    moments = _moments_function(model, norms)
    sums: list[Any] = [0.0] * 3
    count = 0
    for images, _ in batches:
        means, variances = (part.numpy().astype(np.float64) for part in moments(images))
        sums = [a + b for a, b in zip(sums, (means, means**2, variances), strict=True)]
        count += 1
    mean, square, variance = (total / count for total in sums)
    variance += np.maximum(square - mean**2, 0.0)
    ends = np.cumsum([norm.moving_mean.shape[0] for norm in norms])[:-1]
    for norm, *values in zip(norms, np.split(mean, ends), np.split(variance, ends), strict=True):
        norm.moving_mean.assign(values[0])
        norm.moving_variance.assign(values[1])


def _moments_function(model: keras.Model, norms: list[keras.layers.Layer]) -> Any:
    """`images -> (means, variances)` of all batch norms, concatenated; changes no variable."""
    index = {id(variable): i for i, variable in enumerate(model.non_trainable_variables)}
    places = [[index[id(v)] for v in (n.moving_mean, n.moving_variance)] for n in norms]
    rates = [1.0 - norm.momentum for norm in norms]

    @tf.function(reduce_retracing=True)
    def moments(images: tf.Tensor) -> list[tf.Tensor]:
        state = [tf.convert_to_tensor(variable) for variable in model.non_trainable_variables]
        for place in (place for pair in places for place in pair):
            state[place] = tf.zeros_like(state[place])
        # From zero, a moving statistic becomes the batch's times 1 - momentum.
        _, state = model.stateless_call(
            [tf.convert_to_tensor(variable) for variable in model.trainable_variables],
            state,
            images,
            training=True,
        )
        by_norm = [
            [state[p] / rate for p in pair] for pair, rate in zip(places, rates, strict=True)
        ]
        return [tf.concat(parts, 0) for parts in zip(*by_norm, strict=True)]

    return moments
