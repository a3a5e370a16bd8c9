"""Batch normalisation as PyTorch trains it."""

import keras


@keras.saving.register_keras_serializable("keras_deeplab")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer with PyTorch's moving variance.

    While training, PyTorch normalises with the variance of the batch and moves its running variance
    by the unbiased one, `n / (n - 1)` times as large for `n` positions; Keras's layer moves by the
    first. Statistics are float32 under every dtype policy. Inference is Keras's own.

    TensorFlow's fused operation is not used: with it the losses of the reference's training were
    missed.
    """

    # The class bears Keras's name because weights files address layers by class name.

    def call(self, inputs, training=None):
        if not (training and self.trainable):
            return super().call(inputs, training=False)
        x = keras.ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        mean, variance = keras.ops.moments(x, (0, 1, 2), synchronized=self.synchronized)
        count = keras.ops.cast(keras.ops.size(x[..., 0]), x.dtype)
        if self.synchronized:
            count = count * _replicas()
        unbiased = variance * count / keras.ops.maximum(count - 1, 1)
        for moving, new in ((self.moving_mean, mean), (self.moving_variance, unbiased)):
            moving.assign(moving * self.momentum + new * (1.0 - self.momentum))
        outputs = keras.ops.batch_normalization(
            x, mean, variance, -1, self.beta, self.gamma, self.epsilon
        )
        return keras.ops.cast(outputs, self.compute_dtype)


def _replicas():
    """Number of replicas that compute the global batch, each with an equal part."""
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync
