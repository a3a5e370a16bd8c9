"""Atrous convolutions that do not compute or store the zero padding.

TensorFlow computes a dilated convolution as a plain one of every phase: each `rate`-th row and
column forms a small feature map. It first pads the features with `rate` zeros on every side, and
keeps that copy for the gradient: at rate 36 on 32 x 32 features, eleven times the features
themselves. But those zeros are one row around each phase, which a plain "same" convolution pads
without storing them.
"""

from collections.abc import Callable
from typing import Any

import keras

# Every layer gets it: else it would follow `image_data_format` in the user's keras.json.
DATA_FORMAT = "channels_last"
MIN_PHASE = 3  # pixels; oneDNN has no fast gradient of a 3x3 kernel on a smaller feature map


@keras.saving.register_keras_serializable("keras_deeplab")
class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D`; on TensorFlow a dilated one is computed phase by phase."""

    # Both classes have Keras's names because weights files address layers by class name.

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        if not _has_phases(self):
            return super().convolution_op(inputs, kernel)
        return _by_phases(
            lambda x: keras.ops.conv(x, kernel, padding="same", data_format=DATA_FORMAT),
            inputs,
            self,
        )


@keras.saving.register_keras_serializable("keras_deeplab")
class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D`; on TensorFlow, dilated, without bias: phase by phase."""

    def call(self, inputs: Any) -> Any:
        if not _has_phases(self) or self.use_bias:
            return super().call(inputs)
        outputs = _by_phases(
            lambda x: keras.ops.depthwise_conv(
                x, self.kernel, padding="same", data_format=DATA_FORMAT
            ),
            inputs,
            self,
        )
        return self.activation(outputs)


def _has_phases(layer: keras.layers.Layer) -> bool:
    dilated = max(layer.dilation_rate) > 1 and layer.padding == "same"
    return dilated and layer.data_format == DATA_FORMAT and keras.backend.backend() == "tensorflow"


def _by_phases(convolve: Callable[[Any], Any], inputs: Any, layer: keras.layers.Layer) -> Any:
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
