"""EfficientNet-Lite: inverted residual blocks without squeeze-and-excitation, ReLU6.

Source: `models/official/efficientnet/lite` of github.com/tensorflow/tpu. Layers are named by the
module paths of `efficientnet_lite_pytorch`, whose weights are TensorFlow's. Stochastic depth is
left out: it is for trainings from random weights.
"""

import math
from typing import NamedTuple

import keras

from keras_deeplab.models.layers import batch_norm, conv, depthwise_conv, relu6


class Stage(NamedTuple):
    """Blocks of the same size."""

    blocks: int
    kernel_size: int
    strides: int
    expansion: int
    channels: int


# Of EfficientNet-Lite0. Depth scales all but the first and the last stage.
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
STEM_CHANNELS = 32
BN_EPSILON = 1e-3


def scaled_channels(channels: int, width: float) -> int:
    """Channels at a width: the nearest multiple of 8 that is not below 90 %."""
    scaled = channels * width
    nearest = max(8, int(scaled + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * scaled else nearest + 8


def inverted_residual(
    x: keras.KerasTensor,
    channels: int,
    name: str,
    *,
    kernel_size: int,
    expansion: int,
    strides: int = 1,
    dilation: int = 1,
    sync: bool = False,
) -> keras.KerasTensor:
    """1x1 expansion, depthwise convolution, linear 1x1 projection; a shortcut if sizes agree."""
    shortcut = x
    if expansion > 1:
        x = conv(x, expansion * x.shape[-1], 1, f"{name}-_expand_conv")
        x = relu6(norm(x, f"{name}-_bn0", sync), f"{name}-_bn0-relu6")
    x = depthwise_conv(
        x, kernel_size, f"{name}-_depthwise_conv", strides=strides, dilation=dilation
    )
    x = relu6(norm(x, f"{name}-_bn1", sync), f"{name}-_bn1-relu6")
    x = norm(conv(x, channels, 1, f"{name}-_project_conv"), f"{name}-_bn2", sync)
    if strides == 1 and shortcut.shape[-1] == channels:
        x = keras.layers.Add(name=f"{name}-add")([x, shortcut])
    return x


def norm(x: keras.KerasTensor, name: str, sync: bool) -> keras.KerasTensor:
    """Batch normalisation with the epsilon of the source."""
    return batch_norm(x, name, sync=sync, epsilon=BN_EPSILON)


def efficientnet_lite(
    x: keras.KerasTensor,
    width: float,
    depth: float,
    *,
    output_stride: int,
    multi_grid: None = None,
    sync: bool = False,
) -> list[keras.KerasTensor]:
    """Backbone features.

    Beyond the output stride, a stride becomes the dilation of all later depthwise convolutions.

    Args:
        x: Normalised image `(N, H, W, C)`.
        width: Factor on the channels, 1.0 for EfficientNet-Lite0.
        depth: Factor on the number of blocks.
        output_stride: 8 or 16.
        multi_grid: `None`: the network has none.
        sync: Whether batch norms share their statistics across replicas.

    Returns:
        The last features before the strides 8, 16 and 32, and the last of all: `[0]` has stride 4.
    """
    x = conv(x, STEM_CHANNELS, 3, "backbone-_conv_stem", strides=2, padding="same")
    x = relu6(norm(x, "backbone-_bn0", sync), "backbone-_bn0-relu6")
    stages, stride, dilation, number = [], 2, 1, 0
    for index, stage in enumerate(STAGES):
        if stage.strides > 1 and index > 1:
            stages.append(x)
        scaled = 0 < index < len(STAGES) - 1
        for block in range(math.ceil(depth * stage.blocks) if scaled else stage.blocks):
            strides = stage.strides if block == 0 else 1
            dense = stride * strides > output_stride
            x = inverted_residual(
                x,
                scaled_channels(stage.channels, width),
                f"backbone-_blocks-{number}",
                kernel_size=stage.kernel_size,
                expansion=stage.expansion,
                strides=1 if dense else strides,
                dilation=dilation,
                sync=sync,
            )
            # The block that would have had the stride sees its input as densely as with it.
            if dense:
                dilation *= strides
            else:
                stride *= strides
            number += 1
    return [*stages, x]
