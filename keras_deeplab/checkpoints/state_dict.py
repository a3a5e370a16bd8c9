"""Loading PyTorch state dicts into a Keras model and exporting them, by name.

Layers have the module paths of the reference (`backbone-layer1-0-conv1` for
`backbone.layer1.0.conv1`), so the mapping is a loop over layers, not a table.
"""

from collections.abc import Iterator, Mapping, Sequence

import keras
import numpy as np

from keras_deeplab.checkpoints.channels import FIRST_CONVOLUTION, adapt_channels, is_adaptable
from keras_deeplab.checkpoints.errors import CheckpointError

BACKBONE_PREFIX = "backbone."
AUXILIARY_PREFIX = "auxiliary_head."
COUNTER_SUFFIX = "num_batches_tracked"  # PyTorch's batch counter; Keras has none

Axes = tuple[int, ...] | None  # transposes an array in PyTorch layout to Keras layout

# Kernels: (out, in, h, w) becomes (h, w, in, out); depthwise (channels, 1, h, w) becomes
# (h, w, channels, 1).
_TO_KERAS = {keras.layers.DepthwiseConv2D: (2, 3, 0, 1), keras.layers.Conv2D: (2, 3, 1, 0)}
_BATCH_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


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

    `num_batches_tracked` entries are ignored, and those of the auxiliary head when the model has
    none. Nothing is set unless everything matches. If the model does not have three input channels,
    the first convolution is adapted (`adapt_channels`).

    Args:
        model: Model of `keras_deeplab.build`.
        state_dict: Reference names (`"backbone.stem.0.weight"`) to arrays in PyTorch layout:
            kernels `(out, in / groups, height, width)`.

    Raises:
        CheckpointError: Lists names that are missing, unexpected or of the wrong shape.
    """
    targets = {name: (variable, axes) for name, variable, axes in reference_weights(model)}
    assign_reference(targets, state_dict, f"the state dict does not match model {model.name!r}")


def load_backbone(model: keras.Model, state_dict: Mapping[str, np.ndarray]) -> None:
    """Sets only the weights of the backbone, from a classifier's state dict.

    Names in the published ImageNet weights of ResNet v1c have no `backbone.` prefix. Their
    classifier `fc` is ignored. The heads keep their weights.

    Args:
        model: Model of `keras_deeplab.build`.
        state_dict: Names such as `"stem.0.weight"` and `"layer1.0.conv1.weight"` to arrays in
            PyTorch layout.

    Raises:
        CheckpointError: Lists names that are missing, unexpected or of the wrong shape.
    """
    targets = {
        name: (variable, axes)
        for name, variable, axes in reference_weights(model)
        if name.startswith(BACKBONE_PREFIX)
    }
    prefixed = {
        f"{BACKBONE_PREFIX}{name}": array
        for name, array in state_dict.items()
        if not name.startswith("fc.")
    }
    subject = f"the weights do not match the backbone of model {model.name!r}"
    assign_reference(targets, prefixed, subject)


def assign_reference(
    targets: Mapping[str, tuple[keras.Variable, Axes]],
    state_dict: Mapping[str, np.ndarray],
    subject: str,
) -> None:
    """Assigns arrays in PyTorch layout to `{name: (variable, axes)}`, all of them or none."""
    has_auxiliary = any(name.startswith(AUXILIARY_PREFIX) for name in targets)
    unexpected = [
        name
        for name in state_dict
        if name not in targets
        and not name.endswith(COUNTER_SUFFIX)
        and (has_auxiliary or not name.startswith(AUXILIARY_PREFIX))
    ]
    missing = [name for name in targets if name not in state_dict]
    arrays, wrong = {}, []
    for name, (variable, axes) in targets.items():
        if name in missing:
            continue
        array = np.asarray(state_dict[name])
        expected = reference_shape(variable, axes)
        if name == f"{FIRST_CONVOLUTION}.weight" and is_adaptable(array.shape, expected, axis=1):
            array = adapt_channels(array, expected[1], axis=1)
        if array.shape != expected:
            wrong.append(f"{name} {array.shape}, expected {expected}")
        else:
            arrays[name] = array if axes is None else array.transpose(axes)
    report_mismatch(missing, unexpected, wrong, subject)
    for name, (variable, _) in targets.items():
        variable.assign(arrays[name])


def to_state_dict(model: keras.Model) -> dict[str, np.ndarray]:
    """The weights of a model under the reference's names, in PyTorch layout.

    Args:
        model: Model of `keras_deeplab.build`.

    Returns:
        Float32 arrays by name. As in the reference, every batch norm also has PyTorch's batch
        counter (int64 zero).
    """
    state_dict = {}
    for name, variable, axes in reference_weights(model):
        array = keras.ops.convert_to_numpy(variable)
        state_dict[name] = array if axes is None else array.transpose(np.argsort(axes))
        if name.endswith("running_var"):
            state_dict[name.removesuffix("running_var") + COUNTER_SUFFIX] = np.zeros((), np.int64)
    return state_dict


def reference_shape(variable: keras.Variable, axes: Axes) -> tuple[int, ...]:
    """Shape of a variable in PyTorch layout."""
    if axes is None:
        return tuple(variable.shape)
    return tuple(variable.shape[axis] for axis in np.argsort(axes))


def report_mismatch(
    missing: Sequence[str], unexpected: Sequence[str], wrong: Sequence[str], subject: str
) -> None:
    """Raises a `CheckpointError` that lists every mismatch, if there is one."""
    parts = [
        f"{len(names)} {what}: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"
        for what, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of the wrong shape", wrong),
        )
        if names
    ]
    if parts:
        raise CheckpointError(f"{subject[0].upper()}{subject[1:]}: {'; '.join(parts)}.")
