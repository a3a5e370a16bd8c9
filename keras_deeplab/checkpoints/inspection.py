"""What a weights file says about its network, and building that network."""

import dataclasses
import math
import pathlib

from keras_deeplab._internal.files import StrPath
from keras_deeplab.checkpoints import keras_files, state_dict
from keras_deeplab.checkpoints.channels import CHANNEL_AXIS, FIRST_CONVOLUTIONS
from keras_deeplab.checkpoints.errors import CheckpointError
from keras_deeplab.checkpoints.loading import file_kind, load_weights
from keras_deeplab.checkpoints.matching import (
    AUXILIARY_HEAD,
    BACKBONE,
    CLASS_AXIS,
    CLASSIFIERS,
    is_in,
    listed,
)
from keras_deeplab.checkpoints.pytorch.foreign import refuse_foreign
from keras_deeplab.checkpoints.pytorch.reader import read_torch_checkpoint
from keras_deeplab.checkpoints.tensorflow import variables
from keras_deeplab.checkpoints.tensorflow.reader import read_tensorflow_checkpoint
from keras_deeplab.models.deeplab import DeepLabV3Plus, build_model
from keras_deeplab.models.variants import BACKBONES, get_variant, list_variants

Kernels = dict[str, tuple[int, ...]]
"""Shapes `(height, width, in, out)` by reference name of the layer."""


@dataclasses.dataclass(frozen=True)
class WeightsInfo:
    """What a weights file says about its network.

    Attributes:
        num_classes: Number of classes, or `None` for a file of a backbone alone.
        channels: Number of input channels.
        aux_head: Whether it contains an auxiliary head.
        backbone: Name of its backbone, `"resnet18_v1c"` for example, or `None` for an unknown one.
        variant: Name of `list_variants()`, which only a `.keras` file contains, or `None`.
    """

    num_classes: int | None
    channels: int
    aux_head: bool
    backbone: str | None
    variant: str | None = None


def describe_weights(path: StrPath) -> WeightsInfo:
    """What a weights file says about its network, from the names and shapes of its layers.

    Args:
        path: A `.weights.h5`, `.keras` or `.pth` file, or an official TensorFlow checkpoint.

    Raises:
        CheckpointError: When the file cannot be read or is of another kind of network.
    """
    name = None
    if file_kind(path) == "tensorflow":
        kernels = variables.kernel_shapes(read_tensorflow_checkpoint(path).state_dict)
    elif file_kind(path) == "keras":
        kernels = keras_files.kernel_shapes(path)
        if pathlib.Path(path).suffix == ".keras":
            name = keras_files.model_name(path)
    else:
        arrays = read_torch_checkpoint(path).state_dict
        try:
            refuse_foreign(arrays)
            kernels = state_dict.kernel_shapes(arrays)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error
    first = next((layer for layer in FIRST_CONVOLUTIONS if layer in kernels), None)
    if first is None:
        layers = f"only {listed(list(kernels), 4)}" if kernels else "no convolution"
        raise CheckpointError(
            f"{path} is not a DeepLabV3+ of keras_deeplab, mmsegmentation or DeepLab's TensorFlow "
            f"code: it contains none of the layers {', '.join(FIRST_CONVOLUTIONS)}, but {layers}."
        )
    classifier, backbone = kernels.get(CLASSIFIERS[0]), _backbone(kernels)
    return WeightsInfo(
        num_classes=None if classifier is None else classifier[CLASS_AXIS],
        channels=kernels[first][CHANNEL_AXIS],
        aux_head=any(is_in(layer, [AUXILIARY_HEAD]) for layer in kernels),
        backbone=backbone,
        variant=name if name in _variants(backbone) else None,
    )


def _backbone(kernels: Kernels) -> str | None:
    parameters = sum(
        math.prod(shape)
        for layer, shape in kernels.items()
        if is_in(layer, [BACKBONE]) and layer not in FIRST_CONVOLUTIONS
    )
    known = {backbone.kernel_parameters: name for name, backbone in BACKBONES.items()}
    return known.get(parameters)


def _variants(backbone: str | None) -> list[str]:
    return [name for name in list_variants() if get_variant(name).backbone == backbone]


def build_for(path: StrPath, variant: str) -> DeepLabV3Plus:
    """A model that matches a weights file, with its weights and without preprocessing.

    Args:
        path: A file as in `describe_weights`, of a whole network.
        variant: A name of `list_variants()`, because most files do not contain it.

    Raises:
        CheckpointError: When the file has no classifier or does not match the variant.
    """
    info, backbone = describe_weights(path), get_variant(variant).backbone
    if info.num_classes is None:
        raise CheckpointError(f"{path} is not a whole DeepLabV3+: it contains only a backbone.")
    if info.backbone not in (None, backbone):
        found, expected = BACKBONES[info.backbone].title, BACKBONES[backbone].title
        raise CheckpointError(f"{path} contains {found}, variant {variant} has {expected}.")
    model = build_model(
        variant,
        info.num_classes,
        input_shape=(None, None, info.channels),
        include_preprocessing=False,
        aux_head=info.aux_head,
    )
    load_weights(model, path)
    return model
