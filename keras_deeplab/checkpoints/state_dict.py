"""Weights of the PyTorch reference, by name, into a Keras model.

Layers carry the module paths of the reference (`backbone-layer1-0-conv1` for
`backbone.layer1.0.conv1`), so the mapping is a loop over layers and not a table.
"""

import keras
import numpy as np

from keras_deeplab.checkpoints.channels import FIRST_CONVOLUTION, adapt_channels, is_adaptable
from keras_deeplab.checkpoints.errors import CheckpointError

BACKBONE_PREFIX = "backbone."
AUXILIARY_PREFIX = "auxiliary_head."
COUNTER_SUFFIX = "num_batches_tracked"  # PyTorch's batch counter; nothing here needs it

# Kernels: (out, in, h, w) becomes (h, w, in, out); depthwise (channels, 1, h, w) becomes
# (h, w, channels, 1).
_TO_KERAS = {keras.layers.DepthwiseConv2D: (2, 3, 0, 1), keras.layers.Conv2D: (2, 3, 1, 0)}
_BATCH_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def reference_weights(model):
    """Yields `(reference name, Keras variable, kernel axes or None)` for every weight of a model.

    `axes` transposes an array of PyTorch layout to that of the variable.
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


def load_state_dict(model, state_dict):
    """Sets every weight of a model from a mapping of reference names to arrays.

    Only `num_batches_tracked` entries and, for a model without it, those of the auxiliary head are
    left aside. Nothing is set unless everything fits. For a model of other than three input
    channels the first convolution is adapted (`adapt_channels`).

    Args:
        model: Model of `keras_deeplab.build`.
        state_dict: Mapping of reference names (`"backbone.stem.0.weight"`) to NumPy arrays in
            PyTorch layout: kernels `(out, in / groups, height, width)`.

    Raises:
        CheckpointError: Names what is missing, left over or of the wrong shape.
    """
    targets = {name: (variable, axes) for name, variable, axes in reference_weights(model)}
    assign_reference(targets, state_dict, f"the state dict does not fit model {model.name!r}")


def load_backbone(model, state_dict):
    """Sets the weights of the backbone alone, from a classifier's state dict.

    The published ImageNet weights of ResNet v1c name no `backbone.`, and end in a classifier `fc`
    that has no place here. The heads keep the weights they have.

    Args:
        model: Model of `keras_deeplab.build`.
        state_dict: Mapping of names such as `"stem.0.weight"` and `"layer1.0.conv1.weight"` to
            arrays in PyTorch layout.

    Raises:
        CheckpointError: Names what is missing, left over or of the wrong shape.
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
    subject = f"the weights do not fit the backbone of model {model.name!r}"
    assign_reference(targets, prefixed, subject)


def assign_reference(targets, state_dict, subject):
    """Assigns arrays of PyTorch layout to `{name: (variable, axes)}`, all of them or none."""
    has_auxiliary = any(name.startswith(AUXILIARY_PREFIX) for name in targets)
    left_over = [
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
    report_mismatch(missing, left_over, wrong, subject)
    for name, (variable, _) in targets.items():
        variable.assign(arrays[name])


def to_state_dict(model):
    """The weights of a model under the reference's names, in PyTorch layout.

    Args:
        model: Model of `keras_deeplab.build`.

    Returns:
        Dict of names to float32 arrays, with PyTorch's batch counters (int64 zeros) beside the
        batch norms: the keys of the reference.
    """
    state_dict = {}
    for name, variable, axes in reference_weights(model):
        array = keras.ops.convert_to_numpy(variable)
        state_dict[name] = array if axes is None else array.transpose(np.argsort(axes))
        if name.endswith("running_var"):
            state_dict[name.removesuffix("running_var") + COUNTER_SUFFIX] = np.zeros((), np.int64)
    return state_dict


def reference_shape(variable, axes):
    """Shape of a variable in PyTorch layout."""
    if axes is None:
        return tuple(variable.shape)
    return tuple(variable.shape[axis] for axis in np.argsort(axes))


def report_mismatch(missing, left_over, wrong, subject):
    """Raises a `CheckpointError` that lists every mismatch, if there is one."""
    parts = [
        f"{len(names)} {what}: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"
        for what, names in (
            ("missing", missing),
            ("left over", left_over),
            ("of the wrong shape", wrong),
        )
        if names
    ]
    if parts:
        raise CheckpointError(f"{subject[0].upper()}{subject[1:]}: {'; '.join(parts)}.")
