"""Atrous convolutions that do no work on the zeros around the picture.

TensorFlow computes a dilated convolution as a plain one of every phase: each `rate`-th row and
column forms a small picture of its own. It first surrounds the whole picture with `rate` zeros on
every side, and keeps that copy for the gradient: at rate 36 on 32 x 32 features, eleven times the
features themselves. But those zeros are one row around each phase, which a plain "same" convolution
supplies without storing them.
"""

import keras

MIN_PHASE = 3  # pixels; oneDNN has no fast gradient of a 3x3 kernel on a smaller picture


@keras.saving.register_keras_serializable("keras_deeplab")
class Conv2D(keras.layers.Conv2D):
    """Keras's layer, phase by phase on TensorFlow where it is dilated."""

    # Both classes bear Keras's names because weights files address layers by class name.

    def convolution_op(self, inputs, kernel):
        if not _has_phases(self):
            return super().convolution_op(inputs, kernel)
        return _by_phases(lambda x: keras.ops.conv(x, kernel, padding="same"), inputs, self)


@keras.saving.register_keras_serializable("keras_deeplab")
class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """Keras's layer, phase by phase on TensorFlow where it is dilated and has no bias."""

    def call(self, inputs):
        if not _has_phases(self) or self.use_bias:
            return super().call(inputs)
        outputs = _by_phases(
            lambda x: keras.ops.depthwise_conv(x, self.kernel, padding="same"), inputs, self
        )
        return self.activation(outputs)


def _has_phases(layer):
    dilated = max(layer.dilation_rate) > 1 and layer.padding == "same"
    return dilated and keras.backend.backend() == "tensorflow"


def _by_phases(convolve, inputs, layer):
    """Applies a plain "same" convolution to each phase of `(N, H, W, C)`."""
    import tensorflow as tf

    rates = layer.dilation_rate
    size = tf.shape(inputs)[1:3]
    padding = tf.maximum(-(-size // rates), MIN_PHASE) * rates - size
    after = tf.stack([tf.zeros_like(padding), padding], axis=1)
    phases = convolve(tf.space_to_batch(inputs, rates, after))
    outputs = tf.batch_to_space(phases, rates, after)
    outputs.set_shape((*inputs.shape[:3], phases.shape[3]))
    return outputs
