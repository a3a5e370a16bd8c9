"""ResNet v1c: a stem of three 3x3 convolutions, residual stages with strides and dilations."""

from collections.abc import Sequence

import keras

from keras_deeplab.models.atrous import DATA_FORMAT
from keras_deeplab.models.layers import batch_norm, conv, relu

STAGE_CHANNELS = (64, 128, 256, 512)  # of the 3x3 convolutions; bottlenecks output four times these
EXPANSION = 4
STRIDES = {8: (1, 2, 1, 1), 16: (1, 2, 2, 1)}  # stage strides by output stride
DILATIONS = {8: (1, 1, 2, 4), 16: (1, 1, 1, 2)}


def block_dilations(
    num_blocks: int, dilation: int, multi_grid: Sequence[int] | None = None
) -> tuple[int, ...]:
    """Dilation of each block of a stage.

    The first block of a dilated stage has half the dilation because its input is less dilated.
    `multi_grid` replaces all dilations.
    """
    if multi_grid is not None:
        return tuple(multi_grid)
    first = dilation // 2 if dilation > 1 else dilation
    return (first,) + (dilation,) * (num_blocks - 1)


def basic_block(
    x: keras.KerasTensor,
    channels: int,
    name: str,
    *,
    strides: int = 1,
    dilation: int = 1,
    downsample: bool = False,
    sync: bool = False,
) -> keras.KerasTensor:
    """Two 3x3 convolutions and a shortcut; only the first is dilated, as in the reference."""
    shortcut = x
    x = conv(x, channels, 3, f"{name}-conv1", strides=strides, dilation=dilation)
    x = relu(batch_norm(x, f"{name}-bn1", sync=sync), f"{name}-relu1")
    x = conv(x, channels, 3, f"{name}-conv2")
    x = batch_norm(x, f"{name}-bn2", sync=sync)
    if downsample:
        shortcut = project(shortcut, channels, name, strides, sync)
    return relu(keras.layers.Add(name=f"{name}-add")([x, shortcut]), f"{name}-relu")


def bottleneck_block(
    x: keras.KerasTensor,
    channels: int,
    name: str,
    *,
    strides: int = 1,
    dilation: int = 1,
    downsample: bool = False,
    sync: bool = False,
) -> keras.KerasTensor:
    """1x1, 3x3, 1x1 convolutions and a shortcut; the 3x3 has the stride and dilation."""
    shortcut = x
    x = conv(x, channels, 1, f"{name}-conv1")
    x = relu(batch_norm(x, f"{name}-bn1", sync=sync), f"{name}-relu1")
    x = conv(x, channels, 3, f"{name}-conv2", strides=strides, dilation=dilation)
    x = relu(batch_norm(x, f"{name}-bn2", sync=sync), f"{name}-relu2")
    x = conv(x, channels * EXPANSION, 1, f"{name}-conv3")
    x = batch_norm(x, f"{name}-bn3", sync=sync)
    if downsample:
        shortcut = project(shortcut, channels * EXPANSION, name, strides, sync)
    return relu(keras.layers.Add(name=f"{name}-add")([x, shortcut]), f"{name}-relu")


def project(
    x: keras.KerasTensor, channels: int, name: str, strides: int, sync: bool
) -> keras.KerasTensor:
    """1x1 convolution of a shortcut whose shape must change."""
    x = conv(x, channels, 1, f"{name}-downsample-0", strides=strides)
    return batch_norm(x, f"{name}-downsample-1", sync=sync)


def stem(x: keras.KerasTensor, *, sync: bool = False) -> keras.KerasTensor:
    """3x3 stride 2, 3x3, 3x3: the "v1c" stem. Names use the indices of PyTorch's Sequential."""
    for index, (channels, strides) in enumerate(((32, 2), (32, 1), (64, 1))):
        x = conv(x, channels, 3, f"backbone-stem-{3 * index}", strides=strides)
        x = batch_norm(x, f"backbone-stem-{3 * index + 1}", sync=sync)
        x = relu(x, f"backbone-stem-{3 * index + 2}")
    # PyTorch pads with -inf. Zeros are equivalent: the output of a ReLU is never negative.
    x = keras.layers.ZeroPadding2D(1, data_format=DATA_FORMAT, name="backbone-maxpool-pad")(x)
    return keras.layers.MaxPooling2D(
        3, strides=2, data_format=DATA_FORMAT, name="backbone-maxpool"
    )(x)


def resnet(
    x: keras.KerasTensor,
    blocks: Sequence[int],
    bottleneck: bool,
    *,
    output_stride: int,
    multi_grid: Sequence[int] | None = None,
    sync: bool = False,
) -> list[keras.KerasTensor]:
    """Backbone features.

    Args:
        x: Normalised image `(N, H, W, C)`.
        blocks: Residual blocks of each of the four stages.
        bottleneck: Whether blocks are bottlenecks.
        output_stride: 8 or 16.
        multi_grid: Dilations of the stage-4 blocks, or `None` for those of the output stride.
        sync: Whether batch norms share their statistics across replicas.

    Returns:
        The outputs of the four stages.
    """
    block = bottleneck_block if bottleneck else basic_block
    x = stem(x, sync=sync)
    stages = []
    for stage in range(4):
        strides = STRIDES[output_stride][stage]
        dilations = block_dilations(
            blocks[stage], DILATIONS[output_stride][stage], multi_grid if stage == 3 else None
        )
        for index, dilation in enumerate(dilations):
            x = block(
                x,
                STAGE_CHANNELS[stage],
                f"backbone-layer{stage + 1}-{index}",
                strides=strides if index == 0 else 1,
                dilation=dilation,
                # In stage 1 basic blocks keep the 64 channels of the stem: no projection.
                downsample=index == 0 and (bottleneck or stage > 0),
                sync=sync,
            )
        stages.append(x)
    return stages
