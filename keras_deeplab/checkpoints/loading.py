"""Weights from a file into a model, by the suffix of the file: `keras_deeplab.load_weights`."""

import pathlib

from keras_deeplab.checkpoints.errors import CheckpointError
from keras_deeplab.checkpoints.keras_files import load_keras_weights


def load_weights(model, path):
    """Sets every variable of a model exactly once from a weights file.

    Args:
        model: Model of `keras_deeplab.build`.
        path: A `.weights.h5` or `.keras` file. An auxiliary head in the file that the model lacks
            is left aside.

    Raises:
        CheckpointError: When the file is missing or unreadable, or names what is missing, left
            over or of the wrong shape. The model is unchanged then.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist.")
    if path.name.endswith((".weights.h5", ".keras")):
        load_keras_weights(model, path)
    else:
        raise CheckpointError(
            f"{path}: unknown kind of weights file; expected .weights.h5 or .keras."
        )
