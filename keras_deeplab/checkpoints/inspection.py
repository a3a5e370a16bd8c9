"""Building the network of a weights file: its classes, channels and auxiliary head."""

import pathlib

from keras_deeplab._internal.files import StrPath
from keras_deeplab.checkpoints.errors import CheckpointError
from keras_deeplab.checkpoints.keras_files import layer_shapes
from keras_deeplab.checkpoints.loading import TORCH_SUFFIXES, load_weights
from keras_deeplab.checkpoints.pytorch.reader import read_torch_checkpoint
from keras_deeplab.models.deeplab import DeepLabV3Plus, build_model


def build_for(path: StrPath, variant: str) -> DeepLabV3Plus:
    """A model that matches a weights file, with its weights and without preprocessing.

    Args:
        path: A `.weights.h5` or `.pth` file of a whole network.
        variant: A name of `list_variants()`, because files do not contain it.

    Raises:
        CheckpointError: When the file has no classifier or does not match the variant.
    """
    path = pathlib.Path(path)
    shapes: dict[str, tuple[int, ...]]
    if path.name.endswith(TORCH_SUFFIXES):
        state_dict = read_torch_checkpoint(path).state_dict
        shapes = {name: array.shape for name, array in state_dict.items()}
        classes, stem, auxiliary = (
            "decode_head.conv_seg.bias",
            "backbone.stem.0.weight",
            "auxiliary_head.conv_seg.bias",
        )
        channel_axis = 1
    elif path.name.endswith(".weights.h5"):
        shapes = layer_shapes(path)
        classes, stem, auxiliary = (
            "decode_head-conv_seg/1",
            "backbone-stem-0/0",
            "auxiliary_head-conv_seg/1",
        )
        channel_axis = 2
    else:
        raise CheckpointError(f"{path}: expected a .weights.h5 or .pth file.")
    for name in (classes, stem):
        if name not in shapes:
            raise CheckpointError(f"{path} does not contain {name}: not a whole DeepLabV3+.")
    model = build_model(
        variant,
        shapes[classes][0],
        input_shape=(None, None, shapes[stem][channel_axis]),
        include_preprocessing=False,
        aux_head=auxiliary in shapes,
    )
    load_weights(model, path)
    return model
