"""Loading a weights file of any supported format: `keras_deeplab.load_weights`."""

import logging
import pathlib

import keras

from keras_deeplab._internal.files import StrPath
from keras_deeplab.checkpoints.errors import CheckpointError
from keras_deeplab.checkpoints.keras_files import load_keras_weights
from keras_deeplab.checkpoints.pytorch.reader import read_torch_checkpoint
from keras_deeplab.checkpoints.state_dict import BACKBONE_PREFIX, load_backbone, load_state_dict

KERAS_SUFFIXES = (".weights.h5", ".keras")
TORCH_SUFFIXES = (".pth", ".pt")

logger = logging.getLogger("keras_deeplab")


def load_weights(model: keras.Model, path: StrPath) -> None:
    """Sets every variable of a model exactly once from a weights file.

    Args:
        model: Model of `keras_deeplab.build`.
        path: A `.weights.h5` or `.keras` file, or a `.pth` file of the PyTorch reference. An
            auxiliary head in the file is ignored when the model has none. A `.pth` file with the
            backbone only (the ImageNet weights of ResNet v1c) sets the backbone and logs that the
            heads keep their weights. If the model does not have three input channels, the first
            convolution is adapted, see `checkpoints.channels.adapt_channels`.

    Raises:
        CheckpointError: When the file is missing or unreadable, or lists names that are missing,
            unexpected or of the wrong shape. The model is then unchanged.
    """
    path = pathlib.Path(path)
    if path.name.endswith(KERAS_SUFFIXES):
        load_keras_weights(model, path)
    elif path.name.endswith(TORCH_SUFFIXES):
        _load_torch(model, path)
    else:
        raise CheckpointError(
            f"{path}: unknown weights file format; expected one of "
            f"{', '.join((*KERAS_SUFFIXES, *TORCH_SUFFIXES))}."
        )


def _load_torch(model: keras.Model, path: pathlib.Path) -> None:
    state_dict = read_torch_checkpoint(path).state_dict
    try:
        if any(name.startswith(BACKBONE_PREFIX) for name in state_dict):
            load_state_dict(model, state_dict)
        else:
            load_backbone(model, state_dict)
            logger.warning("%s contains only a backbone: the heads keep their weights.", path)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
