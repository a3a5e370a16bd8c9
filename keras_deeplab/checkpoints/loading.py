"""Weights from a file into a model, by the suffix of the file: `keras_deeplab.load_weights`."""

import logging
import pathlib

from keras_deeplab.checkpoints.errors import CheckpointError
from keras_deeplab.checkpoints.keras_files import load_keras_weights
from keras_deeplab.checkpoints.pytorch.reader import read_torch_checkpoint
from keras_deeplab.checkpoints.state_dict import BACKBONE_PREFIX, load_backbone, load_state_dict

KERAS_SUFFIXES = (".weights.h5", ".keras")
TORCH_SUFFIXES = (".pth", ".pt")

logger = logging.getLogger("keras_deeplab")


def load_weights(model, path):
    """Sets every variable of a model exactly once from a weights file.

    Args:
        model: Model of `keras_deeplab.build`.
        path: A `.weights.h5` or `.keras` file, or a `.pth` file of the PyTorch reference. An
            auxiliary head in the file that the model lacks is left aside. A `.pth` file of the
            backbone alone (the ImageNet weights of ResNet v1c) sets the backbone, and a log
            message says that the heads keep their weights. For a model of other than three input
            channels the first convolution is adapted, see `checkpoints.channels.adapt_channels`.

    Raises:
        CheckpointError: When the file is missing or unreadable, or names what is missing, left
            over or of the wrong shape. The model is unchanged then.
    """
    path = pathlib.Path(path)
    if path.name.endswith(KERAS_SUFFIXES):
        load_keras_weights(model, path)
    elif path.name.endswith(TORCH_SUFFIXES):
        _load_torch(model, path)
    else:
        raise CheckpointError(
            f"{path}: unknown kind of weights file; expected "
            f"{', '.join((*KERAS_SUFFIXES, *TORCH_SUFFIXES))}."
        )


def _load_torch(model, path):
    state_dict = read_torch_checkpoint(path).state_dict
    try:
        if any(name.startswith(BACKBONE_PREFIX) for name in state_dict):
            load_state_dict(model, state_dict)
        else:
            load_backbone(model, state_dict)
            logger.warning("%s holds a backbone alone: the heads keep their weights.", path)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
