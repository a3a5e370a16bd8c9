"""Atrous convolutions that are trained without computing or storing the zero padding.

TensorFlow computes a dilated convolution as a plain one of every phase: each `rate`-th row and
column forms a small feature map. It first pads the features with `rate` zeros on every side, and
keeps that copy for the gradient: at rate 36 on 32 x 32 features, eleven times the features
themselves. Here only the features are kept: they are cut into phases again for the gradient. A
depthwise convolution whose phases would be mostly padding is a sum of shifted products.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras

# Every layer gets it: else it would follow `image_data_format` in the user's keras.json.
DATA_FORMAT = "channels_last"
MIN_PHASE = 3  # pixels; oneDNN has no fast gradient of a 3x3 kernel on a smaller feature map
# Area of the phases over that of the features, up to which a depthwise convolution is faster by
# phases: measured at kernels of 3 and 5, rates of 2 to 18 and sides of 16 to 64.
MAX_PADDED = 3.0

Shifts = dict[tuple[int, int], tuple[int, int]]  # of a kernel's taps, by row and column


class _TrainedInAnotherWay(keras.layers.Layer):
    """Base of convolutions that TensorFlow trains in another way where they are dilated.

    Inference needs no gradient: it takes the plain dilated convolution, which is as fast there, and
    which other runtimes know.
    """

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if not training or not _is_atrous(self):
            return super().call(inputs)
        import tensorflow as tf

        kernel = tf.cast(tf.convert_to_tensor(self.kernel), self.compute_dtype)
        return self.activation(self._train(inputs, kernel, self.dilation_rate))

    def _train(self, inputs: Any, kernel: Any, rates: tuple[int, int]) -> Any:
        raise NotImplementedError


# Both classes have Keras's names because weights files address layers by class name.
@keras.saving.register_keras_serializable("keras_deeplab")
class Conv2D(_TrainedInAnotherWay, keras.layers.Conv2D):
    """`keras.layers.Conv2D`; dilated, without bias, TensorFlow trains it phase by phase."""

    def _train(self, inputs: Any, kernel: Any, rates: tuple[int, int]) -> Any:
        return _by_phases(inputs, kernel, rates, kernel.shape[3])


@keras.saving.register_keras_serializable("keras_deeplab")
class DepthwiseConv2D(_TrainedInAnotherWay, keras.layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D`; dilated, without bias, trained in the faster of two ways.

    Phase by phase, or by shifted products where most of the phases would be padding.
    """

    def _train(self, inputs: Any, kernel: Any, rates: tuple[int, int]) -> Any:
        if _padded_area(inputs.shape[1:3], rates) <= MAX_PADDED:
            return _by_phases(inputs, kernel, rates, None)
        return _by_shifts(inputs, kernel, rates)


def _is_atrous(layer: Any) -> bool:
    dilated = max(layer.dilation_rate) > 1 and layer.padding == "same" and not layer.use_bias
    known = layer.data_format == DATA_FORMAT and getattr(layer, "depth_multiplier", 1) == 1
    return dilated and known and keras.backend.backend() == "tensorflow"


def _padded_area(size: Sequence[int | None], rates: tuple[int, int]) -> float:
    """Area of the phases over that of the features; infinite where their size is unknown."""
    area = 1.0
    for side, rate in zip(size, rates, strict=True):
        if side is None:
            return math.inf
        area *= max(math.ceil(side / rate), MIN_PHASE) * rate / side
    return area


def _by_phases(inputs: Any, kernel: Any, rates: tuple[int, int], filters: int | None) -> Any:
    """Applies a plain "same" convolution to each phase of `(N, H, W, C)`.

    Args:
        inputs: Features.
        kernel: `(height, width, in, out)`, or of a depthwise convolution `(height, width, C, 1)`.
        rates: Dilation rates.
        filters: Number of output channels; `None` for a depthwise convolution.
    """
    import tensorflow as tf

    def convolve_phases(phases: Any, kernel: Any) -> Any:
        if filters is None:
            return tf.nn.depthwise_conv2d(phases, kernel, (1, 1, 1, 1), "SAME")
        return tf.nn.conv2d(phases, kernel, 1, "SAME")

    def forward(inputs: Any, kernel: Any) -> Any:
        size = tf.shape(inputs)[1:3]
        padding = tf.maximum(-(-size // rates), MIN_PHASE) * rates - size
        after = tf.stack([tf.zeros_like(padding), padding], axis=1)
        phases = tf.space_to_batch(inputs, rates, after)
        return tf.batch_to_space(convolve_phases(phases, kernel), rates, after)

    @tf.custom_gradient
    def convolve(inputs: Any, kernel: Any) -> Any:
        def gradient(upstream: Any) -> Any:
            with tf.control_dependencies([upstream]):  # else they would be cut early, and kept
                again = tf.identity(inputs)
            with tf.GradientTape() as tape:
                tape.watch([again, kernel])
                outputs = forward(again, kernel)  # not computed again: the gradient needs no output
            return tape.gradient(outputs, [again, kernel], upstream)

        return forward(inputs, kernel), gradient

    outputs = convolve(inputs, kernel)
    outputs.set_shape((*inputs.shape[:3], filters or inputs.shape[3]))
    return outputs


def _by_shifts(inputs: Any, kernel: Any, rates: tuple[int, int]) -> Any:
    """The depthwise convolution of `(N, H, W, C)` as a sum of shifted products."""
    import tensorflow as tf

    shifts = _shifts(kernel.shape[:2], rates, inputs.shape[1:3])

    @tf.custom_gradient
    def convolve(inputs: Any, kernel: Any) -> Any:
        def gradient(upstream: Any) -> Any:
            back = {tap: (-down, -right) for tap, (down, right) in shifts.items()}
            return _sum_of_shifts(upstream, kernel, back), _taps(inputs, upstream, kernel, shifts)

        return _sum_of_shifts(inputs, kernel, shifts), gradient

    return convolve(inputs, kernel)


def _shifts(sides: Sequence[int], rates: tuple[int, int], size: Sequence[int | None]) -> Shifts:
    """Rows and columns from an output to the inputs of each tap, without taps that meet no input.

    Args:
        sides: Rows and columns of the kernel.
        rates: Dilation rates.
        size: Height and width of the features, `None` where unknown.
    """
    rows, columns = (
        [(tap, tap * rate - (side - 1) * rate // 2) for tap in range(side)]
        for side, rate in zip(sides, rates, strict=True)
    )
    return {
        (row, column): (down, right)
        for row, down in rows
        for column, right in columns
        if abs(down) < (size[0] or math.inf) and abs(right) < (size[1] or math.inf)
    }


def _sum_of_shifts(features: Any, kernel: Any, shifts: Shifts) -> Any:
    """At every position the sum over the taps of the features there, times the tap's weights.

    Summed in float32 or more, as TensorFlow's own convolution does.
    """
    import tensorflow as tf

    dtype = _dtype_of_sums(features)
    total = tf.zeros(tf.shape(features), dtype)
    for (row, column), shift in shifts.items():
        with tf.control_dependencies([total]):  # one product in memory at a time
            part = tf.cast(_overlap(features, shift), dtype)
            product = part * tf.cast(kernel[row, column, :, 0], dtype)
            total += _in_place(product, shift, features)
    return tf.cast(total, features.dtype)


def _taps(inputs: Any, upstream: Any, kernel: Any, shifts: Shifts) -> Any:
    """Gradient of the kernel."""
    import tensorflow as tf

    rows, columns, channels, _ = kernel.shape
    dtype = _dtype_of_sums(inputs)
    missing = tf.zeros(channels, dtype)
    taps, last = {}, missing
    for tap, (down, right) in shifts.items():
        with tf.control_dependencies([last]):
            part = tf.cast(_overlap(inputs, (down, right)), dtype)
            other = tf.cast(_overlap(upstream, (-down, -right)), dtype)
            taps[tap] = last = tf.reduce_sum(part * other, axis=(0, 1, 2))
    stacked = tf.stack([taps.get((i, j), missing) for i in range(rows) for j in range(columns)])
    return tf.cast(tf.reshape(stacked, kernel.shape), kernel.dtype)


def _dtype_of_sums(features: Any) -> str:
    return keras.backend.result_type(features.dtype, "float32")


def _overlap(features: Any, shift: tuple[int, int]) -> Any:
    """The features that have a position after they are moved up and left."""
    rows, columns = (slice(max(side, 0), min(side, 0) or None) for side in shift)
    return features[:, rows, columns]


def _in_place(part: Any, shift: tuple[int, int], features: Any) -> Any:
    """The overlap of a shift at its new place in zeros of the size of the features."""
    import tensorflow as tf

    down, right = shift
    zeros = [[max(-down, 0), max(down, 0)], [max(-right, 0), max(right, 0)]]
    padded = tf.pad(part, [[0, 0], *zeros, [0, 0]])
    if None in features.shape[1:3]:  # the shift may be longer than the features
        size = tf.shape(features)
        return padded[:, : size[1], : size[2]]
    return padded
