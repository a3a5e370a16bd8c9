"""The tables of backbones and DeepLabV3+ variants by name. Needs no Keras."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_deeplab._internal.names import match_names, unknown_name
from keras_deeplab.models.inputs import MEAN, STD

STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")  # of a backbone, from the input on
BACKBONE_LAYERS = "backbone-"  # beginning of the names of all layers of a backbone

Prefixes = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A backbone and the sizes of the heads that go with it.

    Attributes:
        title: Its name in messages.
        family: Key of `FAMILIES` in `models/deeplab.py`: the function that builds it.
        sizes: Arguments of that function.
        first_convolution: Name of the convolution of the image, without `backbone.`.
        stages: For each of `STAGES` the beginnings of the names of its layers, without `backbone-`.
            They are found by them for freezing and for reports.
        kernel_parameters: Number of weights in all kernels but the first, whose size depends on the
            input channels. Weights files do not name their network: this number tells it.
        aspp_channels: Channels of every ASPP branch and of the decoder.
        low_level_channels: Channels to which the decoder reduces the stage-1 features.
        aux_channels: Channels of the auxiliary head on stage 3; `None` where there is none.
        multi_grid_blocks: Blocks of stage 4, whose dilations `multi_grid` sets; 0 where the network
            has no multi-grid.
        mean: Mean of RGB 0..255 that the network's input is normalised with.
        std: Standard deviation likewise.
        bottleneck_kernel: Side of the convolution after ASPP.
        align_corners: Whether resizes align the corners.
        scope: Scope of its variables in DeepLab's TensorFlow checkpoints; `None` where weights have
            PyTorch's names.
    """

    title: str
    family: str
    sizes: Mapping[str, Any]
    first_convolution: str
    stages: tuple[Prefixes, ...]
    kernel_parameters: int
    aspp_channels: int
    low_level_channels: int
    aux_channels: int | None
    multi_grid_blocks: int = 0
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    bottleneck_kernel: int = 3
    align_corners: bool = False
    scope: str | None = None


@dataclasses.dataclass(frozen=True)
class Variant:
    """One DeepLabV3+ network without its number of classes.

    Attributes:
        backbone: A key of `BACKBONES`.
        output_stride: Input size divided by the size of the last backbone features, 8 or 16.
        multi_grid: Dilations of the stage-4 blocks, or `None` for those of the output stride.
        atrous: Whether ASPP has its three atrous branches.
        decoder: Whether the logits have the size of the stage-1 features rather than of stage 4.
    """

    backbone: str
    output_stride: int
    multi_grid: tuple[int, ...] | None = None
    atrous: bool = True
    decoder: bool = True


def _resnet(depth: int, blocks: tuple[int, int, int, int], **fields: Any) -> Backbone:
    """ResNet v1c with the sizes of mmsegmentation's DeepLabV3+ configurations."""
    small = depth < 50
    return Backbone(
        title=f"ResNet-{depth}",
        family="resnet",
        sizes={"blocks": blocks, "bottleneck": not small},
        first_convolution="stem.0",
        stages=(("stem",), ("layer1",), ("layer2",), ("layer3",), ("layer4",)),
        aspp_channels=128 if small else 512,
        low_level_channels=12 if small else 48,
        aux_channels=64 if small else 256,
        multi_grid_blocks=blocks[3],
        **fields,
    )


def _efficientnet_lite(number: int, blocks: tuple[int, int, int, int], **fields: Any) -> Backbone:
    """EfficientNet-Lite with `blocks` in the parts that end at the strides 4, 8, 16 and 32."""
    ends = [sum(blocks[: stage + 1]) for stage in range(4)]
    return Backbone(
        title=f"EfficientNet-Lite{number}",
        family="efficientnet_lite",
        first_convolution="_conv_stem",
        stages=(
            ("_conv_stem", "_bn0"),
            *(
                tuple(f"_blocks-{index}-" for index in range(end - count, end))
                for count, end in zip(blocks, ends, strict=True)
            ),
        ),
        aspp_channels=128,
        low_level_channels=32,
        aux_channels=64,
        mean=(127.0, 127.0, 127.0),
        std=(128.0, 128.0, 128.0),
        **fields,
    )


def _official(**fields: Any) -> Backbone:
    """A backbone of DeepLab's TensorFlow code, with the heads that it has there."""
    return Backbone(
        aspp_channels=256,
        low_level_channels=48,
        aux_channels=None,
        mean=(127.5, 127.5, 127.5),
        std=(127.5, 127.5, 127.5),
        bottleneck_kernel=1,
        align_corners=True,
        **fields,
    )


# The keys are also those of the ImageNet weights in the zoo's manifest.
BACKBONES = {
    "resnet18_v1c": _resnet(18, (2, 2, 2, 2), kernel_parameters=11_185_152),
    "resnet50_v1c": _resnet(50, (3, 4, 6, 3), kernel_parameters=23_473_152),
    "resnet101_v1c": _resnet(101, (3, 4, 23, 3), kernel_parameters=42_413_056),
    "efficientnet_lite0": _efficientnet_lite(
        0, (3, 2, 6, 5), sizes={"width": 1.0, "depth": 1.0}, kernel_parameters=2_918_528
    ),
    "xception65": _official(
        title="Xception-65",
        family="xception65",
        sizes={},
        first_convolution="entry_flow.conv1_1",
        stages=(
            ("entry_flow-conv1",),
            ("entry_flow-block1", "entry_flow-block2"),
            ("entry_flow-block3",),
            ("middle_flow",),
            ("exit_flow",),
        ),
        kernel_parameters=37_681_248,
        multi_grid_blocks=3,
        scope="xception_65",
    ),
    "mobilenet_v2": _official(
        title="MobileNetV2",
        family="mobilenet_v2",
        sizes={"width": 1.0},
        first_convolution="Conv",
        stages=(
            ("Conv", "expanded_conv-"),
            *(
                tuple(f"expanded_conv_{index}-" for index in range(first, last + 1))
                for first, last in ((1, 2), (3, 5), (6, 12), (13, 16))
            ),
        ),
        kernel_parameters=1_779_296,
        scope="MobilenetV2",
    ),
}

VARIANTS = {
    "r18_d8": Variant("resnet18_v1c", 8),
    "r18_d16": Variant("resnet18_v1c", 16),
    "r50_d8": Variant("resnet50_v1c", 8),
    "r50_d8_mg124": Variant("resnet50_v1c", 8, (1, 2, 4)),
    "r50_d16": Variant("resnet50_v1c", 16),
    "r50_d16_mg124": Variant("resnet50_v1c", 16, (1, 2, 4)),
    "r101_d8": Variant("resnet101_v1c", 8),
    "r101_d8_mg124": Variant("resnet101_v1c", 8, (1, 2, 4)),
    "r101_d16": Variant("resnet101_v1c", 16),
    "r101_d16_mg124": Variant("resnet101_v1c", 16, (1, 2, 4)),
    "efl0_d8": Variant("efficientnet_lite0", 8),
    "efl0_d16": Variant("efficientnet_lite0", 16),
    "x65_d8": Variant("xception65", 8),
    "x65_d16": Variant("xception65", 16),
    "mnv2_d8": Variant("mobilenet_v2", 8),
    "mnv2_d16": Variant("mobilenet_v2", 16),
    "mnv2_d8_plain": Variant("mobilenet_v2", 8, atrous=False, decoder=False),
    "mnv2_d16_plain": Variant("mobilenet_v2", 16, atrous=False, decoder=False),
    "mnv2_d16_decoder": Variant("mobilenet_v2", 16, atrous=False),
}


def list_variants(pattern: str = "*") -> list[str]:
    """Names that `keras_deeplab.build` accepts.

    Args:
        pattern: Glob, for example `"r50*"`.

    Returns:
        Names in natural order (`r18` before `r101`).

    Example:

    >>> list_variants("r18*")
    ['r18_d8', 'r18_d16']
    """
    return match_names(VARIANTS, pattern)


def get_variant(name: str) -> Variant:
    """The `Variant` of a name. An unknown name is a `ValueError` that suggests the closest ones."""
    if name not in VARIANTS:
        raise unknown_name("variant", name, list(VARIANTS))
    return VARIANTS[name]


def get_backbone(variant: str) -> Backbone:
    """The `Backbone` of a variant; a `ValueError` for an unknown one."""
    return BACKBONES[get_variant(variant).backbone]


def has_auxiliary_head(variant: str) -> bool:
    """Whether a variant can be built with an auxiliary head."""
    return get_backbone(variant).aux_channels is not None


def stage_prefixes(model_name: str) -> dict[str, Prefixes]:
    """Beginnings of the names of a backbone's layers by its `STAGES`.

    Args:
        model_name: Name of the model, which `build` makes that of the variant. Models of other
            names are taken to name their layers as a ResNet.
    """
    variant = VARIANTS.get(model_name, VARIANTS["r18_d8"])
    return {
        stage: tuple(f"{BACKBONE_LAYERS}{prefix}" for prefix in prefixes)
        for stage, prefixes in zip(STAGES, BACKBONES[variant.backbone].stages, strict=True)
    }
