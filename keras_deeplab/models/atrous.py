"""Atrous convolutions that are trained without computing or storing the zero padding.

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


class _TrainedByPhases(keras.layers.Layer):
    """Base of convolutions that TensorFlow trains phase by phase where they are dilated.

    Inference needs no gradient: it takes the plain dilated convolution, which is as fast there, and
    which other runtimes know.
    """

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if not training or not _has_phases(self):
            return super().call(inputs)
        return self.activation(_by_phases(self._undilated, inputs, self))

    def _undilated(self, inputs: Any) -> Any:
        raise NotImplementedError


# Both classes have Keras's names because weights files address layers by class name.
@keras.saving.register_keras_serializable("keras_deeplab")
class Conv2D(_TrainedByPhases, keras.layers.Conv2D):
    """`keras.layers.Conv2D`; dilated, without bias, TensorFlow trains it phase by phase."""

    def _undilated(self, inputs: Any) -> Any:
        return keras.ops.conv(inputs, self.kernel, padding="same", data_format=DATA_FORMAT)


@keras.saving.register_keras_serializable("keras_deeplab")
class DepthwiseConv2D(_TrainedByPhases, keras.layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D`; dilated, without bias, trained phase by phase."""

    def _undilated(self, inputs: Any) -> Any:
        return keras.ops.depthwise_conv(
            inputs, self.kernel, padding="same", data_format=DATA_FORMAT
        )


def _has_phases(layer: Any) -> bool:
    dilated = max(layer.dilation_rate) > 1 and layer.padding == "same" and not layer.use_bias
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
