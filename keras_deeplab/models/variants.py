"""The table of DeepLabV3+ variants by name."""

import dataclasses

from keras_deeplab._internal.names import match_names, unknown_name


@dataclasses.dataclass(frozen=True)
class Variant:
    """One DeepLabV3+ network without its number of classes.

    Attributes:
        depth: ResNet depth, a key of `BACKBONES`.
        output_stride: Input size divided by the size of the last backbone features, 8 or 16.
        multi_grid: Dilations of the stage-4 blocks, or `None` for those of the output stride.
    """

    depth: int
    output_stride: int
    multi_grid: tuple[int, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Backbone:
    """Sizes that depend on the ResNet depth (reference: mmsegmentation's DeepLabV3+ configs).

    Attributes:
        blocks: Residual blocks per stage.
        bottleneck: Whether blocks are bottlenecks (1x1, 3x3, 1x1) or basic (3x3, 3x3).
        aspp_channels: Channels of every ASPP branch and of the decoder.
        low_level_channels: Channels to which the decoder reduces the stage-1 features.
        aux_channels: Channels of the auxiliary head on stage 3.
    """

    blocks: tuple[int, int, int, int]
    bottleneck: bool
    aspp_channels: int
    low_level_channels: int
    aux_channels: int


BACKBONES = {
    18: Backbone((2, 2, 2, 2), False, aspp_channels=128, low_level_channels=12, aux_channels=64),
    50: Backbone((3, 4, 6, 3), True, aspp_channels=512, low_level_channels=48, aux_channels=256),
    101: Backbone((3, 4, 23, 3), True, aspp_channels=512, low_level_channels=48, aux_channels=256),
}

VARIANTS = {
    "r18_d8": Variant(18, 8),
    "r18_d16": Variant(18, 16),
    "r50_d8": Variant(50, 8),
    "r50_d8_mg124": Variant(50, 8, (1, 2, 4)),
    "r50_d16": Variant(50, 16),
    "r50_d16_mg124": Variant(50, 16, (1, 2, 4)),
    "r101_d8": Variant(101, 8),
    "r101_d8_mg124": Variant(101, 8, (1, 2, 4)),
    "r101_d16": Variant(101, 16),
    "r101_d16_mg124": Variant(101, 16, (1, 2, 4)),
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
