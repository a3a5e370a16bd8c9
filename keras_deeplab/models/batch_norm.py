"""Batch normalisation with PyTorch's training behaviour."""

from typing import Any

import keras

from keras_deeplab._internal.replicas import gather_over_replicas


@keras.saving.register_keras_serializable("keras_deeplab")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` with PyTorch's moving variance.

    In training, PyTorch normalises with the biased variance of the batch and updates its running
    variance with the unbiased one, which is `n / (n - 1)` times as large for `n` positions. Keras
    uses the biased variance for both. Statistics are float32 under every dtype policy. Inference is
    unchanged.

    TensorFlow's fused operation is not used: with it training did not reproduce the losses of the
    reference.
    """

    # The class has Keras's name because weights files address layers by class name.

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if not (training and self.trainable):
            return super().call(inputs, training=False)
        x = keras.ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        mean, variance = keras.ops.moments(x, (0, 1, 2))
        count = keras.ops.cast(keras.ops.size(x[..., 0]), x.dtype)
        if self.synchronized:
            mean, variance, count = _of_all_replicas(mean, variance, count)
        unbiased = variance * count / keras.ops.maximum(count - 1, 1)
        for moving, new in ((self.moving_mean, mean), (self.moving_variance, unbiased)):
            moving.assign(moving * self.momentum + new * (1.0 - self.momentum))
        outputs = keras.ops.batch_normalization(
            x, mean, variance, -1, self.beta, self.gamma, self.epsilon
        )
        return keras.ops.cast(outputs, self.compute_dtype)


def _of_all_replicas(mean: Any, variance: Any, count: Any) -> tuple[Any, Any, Any]:
    """Moments of the global batch from those of each replica, which has an equal part of it.

    Keras's `synchronized` moments are `E[x^2] - E[x]^2`, which loses a variance that is small
    compared to the mean. This is Chan's formula, which subtracts means only.
    """
    parts = gather_over_replicas(keras.ops.stack([mean, variance]))
    means, variances = parts[:, 0], parts[:, 1]
    mean = keras.ops.mean(means, axis=0)
    variance = keras.ops.mean(variances + keras.ops.square(means - mean), axis=0)
    return mean, variance, count * parts.shape[0]
