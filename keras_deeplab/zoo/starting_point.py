"""Where a training starts: random weights, an ImageNet backbone, or another model's weights."""

from __future__ import annotations

import pathlib
import typing

import keras

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.names import unknown_name
from keras_deeplab.checkpoints.errors import CheckpointError
from keras_deeplab.checkpoints.inspection import describe_weights
from keras_deeplab.checkpoints.loading import init_weights, is_weights_file
from keras_deeplab.checkpoints.tensorflow.reader import is_tensorflow_checkpoint
from keras_deeplab.models.variants import VARIANTS, get_variant
from keras_deeplab.zoo.builder import build
from keras_deeplab.zoo.finding import TrainedModel, find_model
from keras_deeplab.zoo.manifest import list_models
from keras_deeplab.zoo.metadata import ModelMetadata
from keras_deeplab.zoo.trained_weights import imagenet_backbone

FRESH = ("random", "imagenet")  # starts that do not name a network


class StartingPoint(typing.NamedTuple):
    """What a training starts from.

    Attributes:
        name: Its name, for messages.
        variant: Name of the network.
        weights: Function that returns the path of the weights, or `None` for random ones.
        metadata: `ModelMetadata` of the model whose weights they are, where it is known.
    """

    name: str
    variant: str
    weights: typing.Callable[[], pathlib.Path] | None
    metadata: ModelMetadata | None = None


def find_starting_point(init: str, variant: str | None = None) -> StartingPoint:
    """The starting point that `--init` names.

    Args:
        init: `"random"`, `"imagenet"`, a zoo name, the folder of a run, or a weights file as in
            `load_weights`.
        variant: The network, where `init` does not say it. A contradiction is an error.

    Raises:
        ValueError: When `init` is none of these (suggests the nearest zoo names), or does not go
            with `variant`.
        CheckpointError: When a weights file cannot be read.
    """
    if init in FRESH:
        if variant is None:
            raise InputError(f"Name the network (--model): {init!r} weights go with every variant.")
        backbone = get_variant(variant).backbone
        weights = None if init == "random" else lambda: imagenet_backbone(backbone)
        return StartingPoint(init, variant, weights)
    if is_weights_file(init):
        path = pathlib.Path(init)
        return StartingPoint(init, _variant_of_file(path, variant), lambda: path)
    source = _find_trained(init)
    found = source.metadata.variant
    if variant not in (None, found):
        raise InputError(
            f"{init} is {found}, not {variant}. Leave the variant out to continue with {found}, or "
            "give a weights file."
        )
    return StartingPoint(init, found, source.weights, source.metadata)


def _find_trained(init: str) -> TrainedModel:
    if init not in list_models() and not pathlib.Path(init).exists():
        raise unknown_name("start, neither a file, a folder nor a zoo model:", init, list_models())
    return find_model(init)


def _variant_of_file(path: pathlib.Path, variant: str | None) -> str:
    if not (path.is_file() or is_tensorflow_checkpoint(path)):
        raise CheckpointError(f"{path} does not exist.")
    info = describe_weights(path)
    if info.variant is not None:
        fitting = [info.variant]
    else:
        fitting = [name for name, known in VARIANTS.items() if known.backbone == info.backbone]
    if variant is None and len(fitting) == 1:
        return fitting[0]
    listing = ", ".join(fitting) or "an unknown network"
    if variant is None:
        raise InputError(
            f"{path} does not name its network. Its weights are of {listing}: give one (--model)."
        )
    if variant not in fitting:
        raise InputError(f"{path} holds the weights of {listing}, not of {variant}.")
    return variant


def build_from(start: StartingPoint, num_classes: int, **build_options: typing.Any) -> keras.Model:
    """The network of a starting point, with its weights.

    Another number of classes, an auxiliary head that the weights do not hold, and other input
    channels start fresh, and a log message names them.

    Args:
        start: `StartingPoint`.
        num_classes: Number of classes.
        **build_options: Options of `build`.
    """
    model = build(start.variant, num_classes, **build_options)
    if start.weights is not None:
        init_weights(model, start.weights())
    return model
