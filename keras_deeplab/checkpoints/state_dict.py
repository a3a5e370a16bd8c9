"""Loading PyTorch state dicts into a Keras model and exporting them, by name.

Layers have the module paths of the reference (`backbone-layer1-0-conv1` for
`backbone.layer1.0.conv1`), so the mapping is a loop over layers, not a table.
"""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping

import keras
import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab.checkpoints.errors import CheckpointError
from keras_deeplab.checkpoints.matching import AUXILIARY_HEAD, Axes, Match, Target
from keras_deeplab.checkpoints.tensorflow.variables import match_variables, scope_of
from keras_deeplab.models.variants import BACKBONES

BACKBONE_PREFIX = "backbone."
COUNTER_SUFFIX = "num_batches_tracked"  # PyTorch's batch counter; Keras has none

# Names of a whole network and of a backbone; the group is the path before them.
_NETWORK = re.compile(r"((?:[^.]+\.)*?)(?:backbone|decode_head|auxiliary_head)\.")
_PARTS = dict.fromkeys(
    prefix.partition("-")[0]
    for backbone in BACKBONES.values()
    if backbone.scope is None
    for prefixes in backbone.stages
    for prefix in prefixes
)
_BACKBONE = re.compile(rf"((?:[^.]+\.)*?)(?:{'|'.join(_PARTS)})\.")
_DECODE_HEAD = re.compile(r"(?:^|\.)decode_head\.")
# EfficientNet's classifier begins with a convolution; a `_bn1` after a number is that of a block.
_IMAGENET_CLASSIFIER = re.compile(r"(?:^|\.)(?:fc|_fc|_conv_head|(?<!\d\.)_bn1)\.[^.]+$")

# Kernels: (out, in, h, w) becomes (h, w, in, out); depthwise (channels, 1, h, w) becomes
# (h, w, channels, 1).
_TO_KERAS = {keras.layers.DepthwiseConv2D: (2, 3, 0, 1), keras.layers.Conv2D: (2, 3, 1, 0)}
_BATCH_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}

logger = logging.getLogger("keras_deeplab")


def reference_weights(model: keras.Model) -> Iterator[tuple[str, keras.Variable, Axes]]:
    """Yields `(reference name, Keras variable, kernel axes or None)` for every weight of a model.

    `array.transpose(axes)` converts a kernel from PyTorch layout to that of the variable.
    """
    for layer in model.layers:
        path = layer.name.replace("-", ".")
        if isinstance(layer, keras.layers.BatchNormalization):
            for attribute, suffix in _BATCH_NORM.items():
                yield f"{path}.{suffix}", getattr(layer, attribute), None
            continue
        for kind, axes in _TO_KERAS.items():
            if isinstance(layer, kind):
                yield f"{path}.weight", layer.kernel, axes
                if layer.use_bias:
                    yield f"{path}.bias", layer.bias, None
                break


def load_state_dict(model: keras.Model, state_dict: Mapping[str, np.ndarray]) -> None:
    """Sets every weight of a model from a mapping of reference names to arrays.

    A path that all names share before `backbone.` and `decode_head.` may precede them, as wrappers
    write it (`module.`, `_orig_mod.`, `model.`). `num_batches_tracked` entries are ignored, also
    the `ema_` copies of mmcv, and an auxiliary head when the model has none. Nothing is set unless
    everything matches. If the model does not have three input channels, the first convolution is
    adapted (`adapt_channels`).

    Models with Xception-65 or MobileNetV2 take the variables of DeepLab's TensorFlow code.

    Args:
        model: Model of `keras_deeplab.build`.
        state_dict: Reference names (`"backbone.stem.0.weight"`) to arrays in PyTorch layout:
            kernels `(out, in / groups, height, width)`. With Xception-65 and MobileNetV2, names of
            variables (`"MobilenetV2/Conv/weights"`) to arrays in TensorFlow layout: kernels
            `(height, width, in, out)`, of depthwise convolutions `(height, width, in, 1)`.

    Raises:
        CheckpointError: Lists names that are missing, unexpected or of the wrong shape, or whose
            arrays contain NaN or infinity.
    """
    match_weights(model, state_dict).assign()


def load_backbone(model: keras.Model, state_dict: Mapping[str, np.ndarray]) -> None:
    """Sets only the weights of the backbone, from a classifier's state dict.

    Names in the published ImageNet weights have no `backbone.` prefix. Their classifier is ignored.
    The heads keep their weights.

    Args:
        model: Model of `keras_deeplab.build`.
        state_dict: Names such as `"stem.0.weight"` and `"layer1.0.conv1.weight"`, or
            `"_blocks.0._bn1.weight"`, to arrays in PyTorch layout; all may share a prefix.

    Raises:
        CheckpointError: Lists names that are missing, unexpected or of the wrong shape, or whose
            arrays contain NaN or infinity.
    """
    match_backbone(model, state_dict).assign()


def match_weights(model: keras.Model, state_dict: Mapping[str, np.ndarray]) -> Match:
    """The weights of a whole network, by the names of its reference, next to those of a model."""
    if scope_of(model) is None:
        return match_state_dict(model, state_dict)
    return match_variables(model, state_dict)


def match_state_dict(model: keras.Model, state_dict: Mapping[str, np.ndarray]) -> Match:
    """The weights of a whole network next to those of a model."""
    prefix = shared_prefix(state_dict, _NETWORK)
    targets = {
        f"{prefix}{name}": Target(name.rpartition(".")[0], variable, axes)
        for name, variable, axes in reference_weights(model)
    }
    ignored = f"{prefix}{AUXILIARY_HEAD}."
    has_auxiliary = any(name.startswith(ignored) for name in targets)
    arrays = {
        name: array
        for name, array in _arrays(state_dict, prefix).items()
        if has_auxiliary or not name.startswith(ignored)
    }
    return Match("The state dict", f"model {model.name!r}", targets, arrays)


def match_backbone(model: keras.Model, state_dict: Mapping[str, np.ndarray]) -> Match:
    """The weights of a backbone next to those of a model; both heads of the model are absent."""
    prefix = shared_prefix(state_dict, _BACKBONE)
    targets = {
        f"{prefix}{name.removeprefix(BACKBONE_PREFIX)}": Target(
            name.rpartition(".")[0], variable, axes
        )
        for name, variable, axes in reference_weights(model)
    }
    arrays = {
        name: array
        for name, array in _arrays(state_dict, prefix).items()
        if not _IMAGENET_CLASSIFIER.search(name)
    }
    return Match("The state dict", f"model {model.name!r}", targets, arrays).of_backbone()


def is_backbone(names: Iterable[str]) -> bool:
    """Whether a state dict with these names is that of a backbone alone."""
    return not any(_DECODE_HEAD.search(name) for name in names)


def shared_prefix(names: Iterable[str], known: re.Pattern[str]) -> str:
    """The path before the known part of the names: "" or for example `"model."`.

    Raises:
        CheckpointError: When the names have several, because they are of several networks.
    """
    prefixes = sorted({match[1] for name in names if (match := known.match(name))})
    if len(prefixes) > 1:
        raise CheckpointError(
            f"The names of the weights start with {' and '.join(map(repr, prefixes[:4]))}: there "
            "seem to be several networks. Save the state dict of one of them."
        )
    return prefixes[0] if prefixes else ""


def _arrays(state_dict: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays without PyTorch's counters and without mmcv's copies of weights.

    For moving averages, mmcv's `EMAHook` keeps a second copy of each weight `a.b` as a buffer
    `ema_a_b`, and swaps both for validation. PyTorch, too, reads the usual names.
    """
    copies = {
        f"{prefix}ema_{name.removeprefix(prefix).replace('.', '_')}"
        for name in state_dict
        if name.startswith(prefix)
    } & state_dict.keys()
    if copies:
        logger.warning(
            "%d buffers such as %s, copies of weights by mmcv's EMAHook, are ignored.",
            len(copies),
            min(copies),
        )
    return {
        name: np.asarray(array)
        for name, array in state_dict.items()
        if name not in copies and not name.endswith(COUNTER_SUFFIX)
    }


def kernel_shapes(state_dict: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    """Shapes `(height, width, in, out)` of the kernels by reference name of their layer."""
    alone = is_backbone(state_dict)
    prefix = shared_prefix(state_dict, _BACKBONE if alone else _NETWORK)
    part = BACKBONE_PREFIX if alone else ""
    return {
        f"{part}{name.removeprefix(prefix).removesuffix('.weight')}": tuple(
            array.shape[axis] for axis in _TO_KERAS[keras.layers.Conv2D]
        )
        for name, array in state_dict.items()
        if name.endswith(".weight") and array.ndim == 4 and not _IMAGENET_CLASSIFIER.search(name)
    }


def to_state_dict(model: keras.Model) -> dict[str, np.ndarray]:
    """The weights of a model under the reference's names, in PyTorch layout.

    Args:
        model: Model of `keras_deeplab.build`.

    Returns:
        Float32 arrays by name. As in the reference, every batch norm also has PyTorch's batch
        counter (int64 zero).

    Raises:
        ValueError: For a model with Xception-65 or MobileNetV2, which has no PyTorch reference.
    """
    if scope_of(model) is not None:
        raise InputError(
            f"Model {model.name!r} has no PyTorch reference: its names are those of DeepLab's "
            "TensorFlow code. Save it as .weights.h5."
        )
    state_dict = {}
    for name, variable, axes in reference_weights(model):
        array = keras.ops.convert_to_numpy(variable)
        state_dict[name] = array if axes is None else array.transpose(np.argsort(axes))
        if name.endswith("running_var"):
            state_dict[name.removesuffix("running_var") + COUNTER_SUFFIX] = np.zeros((), np.int64)
    return state_dict
