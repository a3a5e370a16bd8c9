"""Aligned Xception-65: depthwise-separable convolutions with strides instead of max-pooling.

Source: `core/xception.py` of tensorflow/models, research/deeplab. Layers are named by the variables
of that code, with `-` for `/`, without the network's own name.
"""

from collections.abc import Sequence
from typing import NamedTuple

import keras

from keras_deeplab.models.layers import batch_norm, conv, depthwise_conv, relu

BN_EPSILON = 1e-3


class Block(NamedTuple):
    """Equal modules of three separable convolutions.

    Attributes:
        name: Path of the block.
        channels: Of its three separable convolutions.
        strides: Of the last convolution of its first module.
        skip: What is added to the output: `"conv"`, the input after a 1x1 convolution; `"sum"`, the
            input; or `"none"`.
        modules: Number of its modules.
        relu_inside: Whether ReLU follows each convolution instead of preceding each separable one.
    """

    name: str
    channels: tuple[int, int, int]
    strides: int
    skip: str
    modules: int = 1
    relu_inside: bool = False


BLOCKS = (
    Block("entry_flow-block1", (128, 128, 128), 2, "conv"),
    Block("entry_flow-block2", (256, 256, 256), 2, "conv"),
    Block("entry_flow-block3", (728, 728, 728), 2, "conv"),
    Block("middle_flow-block1", (728, 728, 728), 1, "sum", modules=16),
    Block("exit_flow-block1", (728, 1024, 1024), 2, "conv"),
    Block("exit_flow-block2", (1536, 1536, 2048), 1, "none", relu_inside=True),
)
LOW_LEVEL = "entry_flow-block2"  # at stride 4 until its last convolution: the decoder's features
LAST_BLOCK = "exit_flow-block2"  # the one whose dilations multi-grid multiplies


def conv_norm(
    x: keras.KerasTensor, filters: int, kernel_size: int, name: str, *, strides: int, sync: bool
) -> keras.KerasTensor:
    """Convolution and batch norm."""
    x = conv(x, filters, kernel_size, name, strides=strides)
    return batch_norm(x, f"{name}-BatchNorm", sync=sync, epsilon=BN_EPSILON)


def separable_conv(
    x: keras.KerasTensor,
    filters: int,
    name: str,
    *,
    strides: int,
    dilation: int,
    relu_inside: bool,
    sync: bool,
) -> keras.KerasTensor:
    """Depthwise 3x3 and pointwise 1x1, each with batch norm, and ReLU before or after each."""
    depthwise, pointwise = f"{name}_depthwise", f"{name}_pointwise"
    if not relu_inside:
        x = relu(x, f"{name}-relu")
    x = depthwise_conv(x, 3, depthwise, strides=strides, dilation=dilation, padding="symmetric")
    x = batch_norm(x, f"{depthwise}-BatchNorm", sync=sync, epsilon=BN_EPSILON)
    if relu_inside:
        x = relu(x, f"{depthwise}-relu")
    x = conv_norm(x, filters, 1, pointwise, strides=1, sync=sync)
    return relu(x, f"{pointwise}-relu") if relu_inside else x


def xception_module(
    x: keras.KerasTensor,
    block: Block,
    name: str,
    *,
    strides: int,
    dilations: Sequence[int],
    sync: bool,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Three separable convolutions and a shortcut.

    Returns:
        The output, and the features before the last convolution, whose stride they do not have.
    """
    shortcut = before = x
    for index, (channels, dilation) in enumerate(zip(block.channels, dilations, strict=True)):
        before = x
        x = separable_conv(
            x,
            channels,
            f"{name}-separable_conv{index + 1}",
            strides=strides if index == 2 else 1,
            dilation=dilation,
            relu_inside=block.relu_inside,
            sync=sync,
        )
    if block.skip == "conv":
        shortcut = conv_norm(
            shortcut, block.channels[-1], 1, f"{name}-shortcut", strides=strides, sync=sync
        )
    if block.skip != "none":
        x = keras.layers.Add(name=f"{name}-add")([x, shortcut])
    return x, before


def xception65(
    x: keras.KerasTensor,
    *,
    output_stride: int,
    multi_grid: Sequence[int] | None = None,
    sync: bool = False,
) -> list[keras.KerasTensor]:
    """Backbone features.

    Beyond the output stride, a stride becomes the dilation of all later blocks.

    Args:
        x: Normalised image `(N, H, W, C)`.
        output_stride: 8 or 16.
        multi_grid: Factors on the dilations of the three convolutions of the last block.
        sync: Whether batch norms share their statistics across replicas.

    Returns:
        The features at stride 4, before batch norm's ReLU; those of the entry, the middle and the
        exit flow.
    """
    x = conv_norm(x, 32, 3, "backbone-entry_flow-conv1_1", strides=2, sync=sync)
    x = relu(x, "backbone-entry_flow-conv1_1-relu")
    x = conv_norm(x, 64, 3, "backbone-entry_flow-conv1_2", strides=1, sync=sync)
    x = relu(x, "backbone-entry_flow-conv1_2-relu")
    low_level, outputs = x, {}
    stride, dilation = 2, 1
    for block in BLOCKS:
        dense = stride * block.strides > output_stride
        grid = multi_grid if block.name == LAST_BLOCK and multi_grid else (1, 1, 1)
        for unit in range(1, block.modules + 1):
            x, before = xception_module(
                x,
                block,
                f"backbone-{block.name}-unit_{unit}-xception_module",
                strides=1 if dense else block.strides,
                dilations=[dilation * factor for factor in grid],
                sync=sync,
            )
        if dense:
            dilation *= block.strides
        else:
            stride *= block.strides
        if block.name == LOW_LEVEL:
            low_level = before
        outputs[block.name] = x
    entry, middle = outputs["entry_flow-block3"], outputs["middle_flow-block1"]
    return [low_level, entry, middle, x]
