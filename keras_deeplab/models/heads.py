"""ASPP, decoder, classifier and auxiliary head of DeepLabV3+."""

import keras

from keras_deeplab.models.atrous import DATA_FORMAT
from keras_deeplab.models.layers import ResizeLike, conv_module, separable_conv_module

ASPP_RATES = {8: (12, 24, 36), 16: (6, 12, 18)}  # by output stride (arXiv 1802.02611, section 4)


def aspp(
    x: keras.KerasTensor,
    channels: int,
    *,
    output_stride: int,
    atrous: bool = True,
    bottleneck_kernel: int = 3,
    align_corners: bool = False,
    sync: bool = False,
) -> keras.KerasTensor:
    """Atrous spatial pyramid pooling: image pool, 1x1, three atrous separable convs, bottleneck.

    Without `atrous` only image pool and 1x1 precede the bottleneck.
    """
    name = "decode_head"
    # float32: in bfloat16 a sum over thousands of positions stops growing.
    pool = keras.layers.GlobalAveragePooling2D(
        data_format=DATA_FORMAT, keepdims=True, dtype="float32", name=f"{name}-image_pool-0"
    )(x)
    pool = conv_module(pool, channels, 1, f"{name}-image_pool-1", sync=sync)
    pool = ResizeLike(align_corners, name=f"{name}-image_pool-resize")([pool, x])
    branches = [pool, conv_module(x, channels, 1, f"{name}-aspp_modules-0", sync=sync)]
    for index, rate in enumerate(ASPP_RATES[output_stride] if atrous else (), start=1):
        branches.append(
            separable_conv_module(
                x, channels, f"{name}-aspp_modules-{index}", dilation=rate, sync=sync
            )
        )
    x = keras.layers.Concatenate(name=f"{name}-aspp-concat")(branches)
    return conv_module(x, channels, bottleneck_kernel, f"{name}-bottleneck", sync=sync)


def decoder(
    x: keras.KerasTensor,
    low_level: keras.KerasTensor,
    channels: int,
    low_level_channels: int,
    *,
    align_corners: bool = False,
    sync: bool = False,
) -> keras.KerasTensor:
    """Fuses the ASPP output with the stage-1 features at a quarter of the input size."""
    name = "decode_head"
    low_level = conv_module(low_level, low_level_channels, 1, f"{name}-c1_bottleneck", sync=sync)
    x = ResizeLike(align_corners, name=f"{name}-resize")([x, low_level])
    x = keras.layers.Concatenate(name=f"{name}-concat")([x, low_level])
    x = separable_conv_module(x, channels, f"{name}-sep_bottleneck-0", sync=sync)
    return separable_conv_module(x, channels, f"{name}-sep_bottleneck-1", sync=sync)


def classifier(
    x: keras.KerasTensor, num_classes: int, name: str, *, dropout: float
) -> keras.KerasTensor:
    """Channel dropout and a 1x1 convolution to logits, float32 under every dtype policy."""
    x = keras.layers.SpatialDropout2D(dropout, data_format=DATA_FORMAT, name=f"{name}-dropout")(x)
    return keras.layers.Conv2D(
        num_classes,
        1,
        data_format=DATA_FORMAT,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),  # as in the reference
        dtype="float32",
        name=f"{name}-conv_seg",
    )(x)


def auxiliary_head(
    x: keras.KerasTensor, channels: int, num_classes: int, *, dropout: float, sync: bool = False
) -> keras.KerasTensor:
    """One 3x3 convolution and a classifier on the stage-3 features, for training only."""
    x = conv_module(x, channels, 3, "auxiliary_head-convs-0", sync=sync)
    return classifier(x, num_classes, "auxiliary_head", dropout=dropout)
