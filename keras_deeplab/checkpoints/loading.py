"""Loading a weights file of any supported format: `keras_deeplab.load_weights`."""

import contextlib
import logging
import pathlib
from collections.abc import Iterator

import keras
import numpy as np

from keras_deeplab._internal.files import StrPath
from keras_deeplab.checkpoints.errors import CheckpointError
from keras_deeplab.checkpoints.fresh import note_fresh_layers
from keras_deeplab.checkpoints.keras_files import match_keras_file
from keras_deeplab.checkpoints.matching import Match, is_in
from keras_deeplab.checkpoints.pytorch.foreign import refuse_foreign
from keras_deeplab.checkpoints.pytorch.reader import read_torch_checkpoint
from keras_deeplab.checkpoints.state_dict import is_backbone, match_backbone, match_state_dict
from keras_deeplab.checkpoints.tensorflow.reader import (
    is_tensorflow_checkpoint,
    read_tensorflow_checkpoint,
)
from keras_deeplab.checkpoints.tensorflow.variables import is_backbone as is_official_backbone
from keras_deeplab.checkpoints.tensorflow.variables import match_variables, scope_of
from keras_deeplab.models.variants import BACKBONES

KERAS_SUFFIXES = (".weights.h5", ".keras")
TORCH_SUFFIXES = (".pth", ".pt")
OFFICIAL_BACKBONES = [each.title for each in BACKBONES.values() if each.scope is not None]

logger = logging.getLogger("keras_deeplab")


def load_weights(model: keras.Model, path: StrPath) -> None:
    """Sets every variable of a model exactly once from a weights file.

    Args:
        model: Model of `keras_deeplab.build`.
        path: A `.weights.h5` or `.keras` file, a `.pth` file of the PyTorch reference, or, for
            variants with Xception-65 or MobileNetV2, an official TensorFlow checkpoint: the
            `.tar.gz` archive as published, or the `.index` file next to its `.data` file. An
            auxiliary head in the file is ignored when the model has none. A file with the backbone
            only (ImageNet weights) sets the backbone and logs that the heads keep their weights. If
            the model does not have three input channels, the first convolution is adapted, see
            `checkpoints.channels.adapt_channels`.

    Raises:
        CheckpointError: When the file is missing or unreadable, or lists names that are missing,
            unexpected or of the wrong shape, or whose arrays contain NaN or infinity. The model is
            then unchanged.
    """
    with _match_file(model, path) as match:
        match.assign()
        note_fresh_layers(model, ())
        if match.absent:
            logger.warning("%s contains only a backbone: the heads keep their weights.", path)


def init_weights(model: keras.Model, path: StrPath) -> list[str]:
    """Sets the variables of a model from a weights file to fine-tune it on other classes.

    As `load_weights`, but these parts keep the weights they have if the file cannot fill them, and
    one warning names them: the classifiers if the file has another number of classes, the auxiliary
    head if the file has none, and the first convolution if it has another number of input channels
    that cannot be adapted.

    Args:
        model: New model of `keras_deeplab.build`.
        path: As in `load_weights`.

    Returns:
        Reference names of the layers that the file did not set, `"decode_head.conv_seg"` for
        example. `checkpoints.fresh.fresh_layers` has their names in the model.

    Raises:
        CheckpointError: As in `load_weights`, when anything else does not match.
    """
    with _match_file(model, path) as match:
        parts = match.fresh_parts()
        match.without(parts).assign()
    if parts:
        one = len(parts) == 1
        logger.warning(
            "%s %s from random weights: %s has %s. Train %s.",
            " and ".join(parts),
            "starts" if one else "start",
            path,
            "; ".join(dict.fromkeys(parts.values())),
            "it" if one else "them",
        )
    layers = {each.name: each.name.replace("-", ".") for each in model.layers if each.weights}
    fresh = {name: layer for name, layer in layers.items() if is_in(layer, parts)}
    note_fresh_layers(model, fresh)
    return list(fresh.values())


@contextlib.contextmanager
def _match_file(model: keras.Model, path: StrPath) -> Iterator[Match]:
    if file_kind(path) == "keras":
        with match_keras_file(model, path) as match:
            yield match
        return
    official = file_kind(path) == "tensorflow"
    read = read_tensorflow_checkpoint if official else read_torch_checkpoint
    state_dict = read(path).state_dict
    try:
        yield _match_arrays(model, state_dict, official)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _match_arrays(model: keras.Model, arrays: dict[str, np.ndarray], official: bool) -> Match:
    """The arrays of a file of PyTorch or, `official`, TensorFlow next to those of a model."""
    if not official:
        refuse_foreign(arrays)
    elif scope_of(model) is None:
        raise CheckpointError(
            f"a checkpoint of TensorFlow fits only variants with {' or '.join(OFFICIAL_BACKBONES)},"
            f" not model {model.name!r}."
        )
    if scope_of(model) is not None:
        return match_variables(
            model, arrays, backbone_only=official and is_official_backbone(arrays)
        )
    return (match_backbone if is_backbone(arrays) else match_state_dict)(model, arrays)


def is_weights_file(path: StrPath) -> bool:
    """Whether the name of a file is that of weights."""
    name = pathlib.Path(path).name
    return name.endswith((*KERAS_SUFFIXES, *TORCH_SUFFIXES)) or is_tensorflow_checkpoint(path)


def file_kind(path: StrPath) -> str:
    """`"keras"`, `"torch"` or `"tensorflow"`, by the suffix of a weights file."""
    name = pathlib.Path(path).name
    if name.endswith(KERAS_SUFFIXES):
        return "keras"
    if name.endswith(TORCH_SUFFIXES):
        return "torch"
    if is_tensorflow_checkpoint(path):
        return "tensorflow"
    raise CheckpointError(
        f"{path}: unknown weights file format; expected one of "
        f"{', '.join((*KERAS_SUFFIXES, *TORCH_SUFFIXES))}, or a .tar.gz archive or an .index file "
        "of a TensorFlow checkpoint."
    )
