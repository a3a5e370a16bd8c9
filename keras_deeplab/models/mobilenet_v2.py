"""MobileNetV2 with dilations instead of its last strides.

Source: `nets/mobilenet` of tensorflow/models, research/slim, as research/deeplab builds it. Layers
are named by the variables of that code, with `-` for `/`, without the network's own name.
"""

import keras

from keras_deeplab.models.layers import batch_norm, conv, depthwise_conv, relu6

BN_EPSILON = 1e-3
EXPANSION = 6  # of every block but the first
STEM_CHANNELS = 32
# Output channels and stride of each block, `expanded_conv`, `expanded_conv_1` and so on.
BLOCKS = (
    *((16, 1), (24, 2), (24, 1), (32, 2), (32, 1), (32, 1)),
    *((64, 2), (64, 1), (64, 1), (64, 1), (96, 1), (96, 1), (96, 1)),
    *((160, 2), (160, 1), (160, 1), (320, 1)),
)
LOW_LEVEL = 2  # the block whose features after the depthwise convolution go to the decoder


def scaled(channels: float, multiple: int = 1) -> int:
    """The nearest multiple of a number that is not below 90 % of the channels."""
    nearest = max(multiple, int(channels + multiple / 2) // multiple * multiple)
    return nearest if nearest >= 0.9 * channels else nearest + multiple


def inverted_residual(
    x: keras.KerasTensor,
    channels: int,
    name: str,
    *,
    expansion: int,
    strides: int,
    dilation: int,
    sync: bool,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """1x1 expansion, depthwise convolution, linear 1x1 projection; a shortcut if sizes agree.

    Returns:
        The output, and the features after the depthwise convolution.
    """

    def norm(x: keras.KerasTensor, part: str) -> keras.KerasTensor:
        return batch_norm(x, f"{name}-{part}-BatchNorm", sync=sync, epsilon=BN_EPSILON)

    shortcut = x
    if expansion > 1:
        x = conv(x, scaled(expansion * x.shape[-1], multiple=8), 1, f"{name}-expand")
        x = relu6(norm(x, "expand"), f"{name}-expand-relu6")
    x = depthwise_conv(x, 3, f"{name}-depthwise", strides=strides, dilation=dilation)
    x = inside = relu6(norm(x, "depthwise"), f"{name}-depthwise-relu6")
    x = norm(conv(x, channels, 1, f"{name}-project"), "project")
    if strides == 1 and shortcut.shape[-1] == channels:
        x = keras.layers.Add(name=f"{name}-add")([x, shortcut])
    return x, inside


def mobilenet_v2(
    x: keras.KerasTensor,
    width: float,
    *,
    output_stride: int,
    multi_grid: None = None,
    sync: bool = False,
) -> list[keras.KerasTensor]:
    """Backbone features.

    Beyond the output stride, a stride becomes the dilation of all later depthwise convolutions.

    Args:
        x: Normalised image `(N, H, W, C)`.
        width: Factor on the channels, 1.0 for the published network: its "depth multiplier".
        output_stride: 8 or 16.
        multi_grid: `None`: the network has none.
        sync: Whether batch norms share their statistics across replicas.

    Returns:
        The features of the decoder at stride 4, the last ones before the strides 16 and 32, and the
        last of all.
    """
    x = conv(x, scaled(width * STEM_CHANNELS), 3, "backbone-Conv", strides=2, padding="same")
    x = batch_norm(x, "backbone-Conv-BatchNorm", sync=sync, epsilon=BN_EPSILON)
    x = relu6(x, "backbone-Conv-relu6")
    stages = []
    stride, dilation = 2, 1
    for index, (channels, strides) in enumerate(BLOCKS):
        if strides > 1 and index > LOW_LEVEL + 1:
            stages.append(x)
        dense = stride * strides > output_stride
        x, inside = inverted_residual(
            x,
            scaled(width * channels),
            f"backbone-expanded_conv_{index}" if index else "backbone-expanded_conv",
            expansion=EXPANSION if index else 1,
            strides=1 if dense else strides,
            dilation=dilation,
            sync=sync,
        )
        if dense:
            dilation *= strides
        else:
            stride *= strides
        if index == LOW_LEVEL:
            stages.append(inside)
    return [*stages, x]
