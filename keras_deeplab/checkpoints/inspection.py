"""The network a weights file belongs to: its classes, channels and auxiliary head."""

import pathlib

from keras_deeplab.checkpoints.errors import CheckpointError
from keras_deeplab.checkpoints.keras_files import layer_shapes
from keras_deeplab.checkpoints.loading import TORCH_SUFFIXES, load_weights
from keras_deeplab.checkpoints.pytorch.reader import read_torch_checkpoint
from keras_deeplab.models.deeplab import build_model


def build_for(path, variant):
    """A model that fits a weights file, with its weights and without preprocessing.

    Args:
        path: A `.weights.h5` or `.pth` file of a whole network.
        variant: The network, a name of `list_variants()`: files do not say it.

    Raises:
        CheckpointError: When the file holds no classifier or does not fit the variant.
    """
    path = pathlib.Path(path)
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
            raise CheckpointError(f"{path} holds no {name}: it is not a whole DeepLabV3+.")
    model = build_model(
        variant,
        shapes[classes][0],
        input_shape=(None, None, shapes[stem][channel_axis]),
        include_preprocessing=False,
        aux_head=auxiliary in shapes,
    )
    load_weights(model, path)
    return model
