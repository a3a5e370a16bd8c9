"""What a weights file says about its network, and building that network."""

import dataclasses
import pathlib

from keras_deeplab._internal.files import StrPath
from keras_deeplab.checkpoints import keras_files, state_dict
from keras_deeplab.checkpoints.channels import CHANNEL_AXIS, FIRST_CONVOLUTION
from keras_deeplab.checkpoints.errors import CheckpointError
from keras_deeplab.checkpoints.loading import file_kind, load_weights
from keras_deeplab.checkpoints.matching import AUXILIARY_HEAD, CLASS_AXIS, CLASSIFIERS, is_in
from keras_deeplab.checkpoints.pytorch.reader import read_torch_checkpoint
from keras_deeplab.models.deeplab import DeepLabV3Plus, build_model
from keras_deeplab.models.variants import BACKBONES, get_variant, list_variants

STAGE = "backbone.layer3"  # the depths differ in the number of its blocks

Kernels = dict[str, tuple[int, ...]]
"""Shapes `(height, width, in, out)` by reference name of the layer."""


@dataclasses.dataclass(frozen=True)
class WeightsInfo:
    """What a weights file says about its network.

    Attributes:
        num_classes: Number of classes, or `None` for a file of a backbone alone.
        channels: Number of input channels.
        aux_head: Whether it contains an auxiliary head.
        depth: Depth of the ResNet, 18, 50 or 101, or `None` for another network.
        variant: Name of `list_variants()`, which only a `.keras` file contains, or `None`.
    """

    num_classes: int | None
    channels: int
    aux_head: bool
    depth: int | None
    variant: str | None = None


def describe_weights(path: StrPath) -> WeightsInfo:
    """What a weights file says about its network, from the names and shapes of its layers.

    Args:
        path: A `.weights.h5`, `.keras` or `.pth` file.

    Raises:
        CheckpointError: When the file cannot be read or is of another kind of network.
    """
    name = None
    if file_kind(path) == "keras":
        kernels = keras_files.kernel_shapes(path)
        if pathlib.Path(path).suffix == ".keras":
            name = keras_files.model_name(path)
    else:
        arrays = read_torch_checkpoint(path).state_dict
        try:
            kernels = state_dict.kernel_shapes(arrays)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error
    if FIRST_CONVOLUTION not in kernels:
        layers = f"only {', '.join(list(kernels)[:4])}, ..." if kernels else "no convolution"
        raise CheckpointError(
            f"{path} is not a DeepLabV3+ of keras_deeplab or mmsegmentation: it contains no layer "
            f"{FIRST_CONVOLUTION}, {layers}."
        )
    classifier, depth = kernels.get(CLASSIFIERS[0]), _depth(kernels)
    return WeightsInfo(
        num_classes=None if classifier is None else classifier[CLASS_AXIS],
        channels=kernels[FIRST_CONVOLUTION][CHANNEL_AXIS],
        aux_head=any(is_in(layer, [AUXILIARY_HEAD]) for layer in kernels),
        depth=depth,
        variant=name if name in list_variants() and get_variant(name).depth == depth else None,
    )


def _depth(kernels: Kernels) -> int | None:
    blocks = {layer.split(".")[2] for layer in kernels if layer.startswith(f"{STAGE}.")}
    found = len(blocks), f"{STAGE}.0.conv3" in kernels
    depths = {(spec.blocks[2], spec.bottleneck): depth for depth, spec in BACKBONES.items()}
    return depths.get(found)


def build_for(path: StrPath, variant: str) -> DeepLabV3Plus:
    """A model that matches a weights file, with its weights and without preprocessing.

    Args:
        path: A `.weights.h5`, `.keras` or `.pth` file of a whole network.
        variant: A name of `list_variants()`, because most files do not contain it.

    Raises:
        CheckpointError: When the file has no classifier or does not match the variant.
    """
    info, depth = describe_weights(path), get_variant(variant).depth
    if info.num_classes is None:
        raise CheckpointError(f"{path} is not a whole DeepLabV3+: it contains only a backbone.")
    if info.depth not in (None, depth):
        raise CheckpointError(
            f"{path} contains a ResNet-{info.depth}, variant {variant} has a ResNet-{depth}."
        )
    model = build_model(
        variant,
        info.num_classes,
        input_shape=(None, None, info.channels),
        include_preprocessing=False,
        aux_head=info.aux_head,
    )
    load_weights(model, path)
    return model
