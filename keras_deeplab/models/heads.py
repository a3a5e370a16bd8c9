"""What DeepLabV3+ adds to the backbone: ASPP, decoder and the auxiliary head."""

import keras

from keras_deeplab.models.layers import ResizeLike, conv_module, separable_conv_module

ASPP_RATES = {8: (12, 24, 36), 16: (6, 12, 18)}  # by output stride (arXiv 1802.02611, section 4)


def aspp(x, channels, *, output_stride, sync=False):
    """Atrous spatial pyramid pooling: image pool, 1x1, three atrous separable convs, bottleneck."""
    name = "decode_head"
    # float32: a bfloat16 sum over thousands of positions would stall.
    pool = keras.layers.GlobalAveragePooling2D(
        keepdims=True, dtype="float32", name=f"{name}-image_pool-0"
    )(x)
    pool = conv_module(pool, channels, 1, f"{name}-image_pool-1", sync=sync)
    pool = ResizeLike(name=f"{name}-image_pool-resize")([pool, x])
    branches = [pool, conv_module(x, channels, 1, f"{name}-aspp_modules-0", sync=sync)]
    for index, rate in enumerate(ASPP_RATES[output_stride], start=1):
        branches.append(
            separable_conv_module(
                x, channels, f"{name}-aspp_modules-{index}", dilation=rate, sync=sync
            )
        )
    x = keras.layers.Concatenate(name=f"{name}-aspp-concat")(branches)
    return conv_module(x, channels, 3, f"{name}-bottleneck", sync=sync)


def decoder(x, low_level, channels, low_level_channels, *, sync=False):
    """Joins ASPP with the stage-1 features at a quarter of the input size."""
    name = "decode_head"
    low_level = conv_module(low_level, low_level_channels, 1, f"{name}-c1_bottleneck", sync=sync)
    x = ResizeLike(name=f"{name}-resize")([x, low_level])
    x = keras.layers.Concatenate(name=f"{name}-concat")([x, low_level])
    x = separable_conv_module(x, channels, f"{name}-sep_bottleneck-0", sync=sync)
    return separable_conv_module(x, channels, f"{name}-sep_bottleneck-1", sync=sync)


def classifier(x, num_classes, name, *, dropout):
    """Channel dropout and a 1x1 convolution to float32 logits, whatever the dtype policy."""
    x = keras.layers.SpatialDropout2D(dropout, name=f"{name}-dropout")(x)
    return keras.layers.Conv2D(
        num_classes,
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),  # as the reference's
        dtype="float32",
        name=f"{name}-conv_seg",
    )(x)


def auxiliary_head(x, channels, num_classes, *, dropout, sync=False):
    """One 3x3 convolution and a classifier on stage 3, for training only."""
    x = conv_module(x, channels, 3, "auxiliary_head-convs-0", sync=sync)
    return classifier(x, num_classes, "auxiliary_head", dropout=dropout)
