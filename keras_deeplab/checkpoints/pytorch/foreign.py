"""DeepLab networks of other libraries: their state dicts are recognised, and refused."""

import re
from collections.abc import Collection

from keras_deeplab.checkpoints.errors import CheckpointError

# Names that a state dict of the library has, and how its network differs from ours.
_FOREIGN = {
    "torchvision's DeepLabV3": (
        (r"(?:.+\.)?backbone\.", r"(?:.+\.)?classifier\.0\.(?:convs|project)\."),
        "it has another stem (7x7), dense atrous convolutions in ASPP, and no decoder",
    ),
    "segmentation_models.pytorch's DeepLabV3+": (
        (r"(?:.+\.)?encoder\.", r"(?:.+\.)?decoder\.aspp\.0\.(?:convs|project)\."),
        "it has another stem (7x7, with a ResNet), another ASPP and decoder, and aligned corners",
    ),
    "segmentation_models.pytorch's DeepLabV3": (
        (r"(?:.+\.)?encoder\.", r"(?:.+\.)?decoder\.(?:0|aspp)\.(?:convs|project)\."),
        "it has another stem (7x7, with a ResNet), another ASPP, and no decoder",
    ),
}


def refuse_foreign(names: Collection[str]) -> None:
    """Raises a `CheckpointError` for the names of a state dict of another library's network."""
    for network, (patterns, difference) in _FOREIGN.items():
        if all(any(re.match(pattern, name) for name in names) for pattern in patterns):
            raise CheckpointError(
                f"this is {network}, another network than mmsegmentation's DeepLabV3+: "
                f"{difference}, so its weights fit no variant; use it with its own library, or "
                "train one of keras_deeplab's variants from ImageNet or zoo weights instead."
            )
