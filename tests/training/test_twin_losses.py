"""Twenty steps of `efl0_d16` with AdamW next to the same network and training in PyTorch.

The fixture is made by `tests/data/twin_training.py`, in float32 and in float64.
"""

import contextlib
import itertools

import keras
import numpy as np
import pytest
import reference

import keras_deeplab as kd
from keras_deeplab.models.layers import ResizeLike

FIXTURE = {
    name: np.array(values) if isinstance(values, list) else values
    for name, values in reference.read("training/twin_efl0.json").items()
}


def losses_of(model, steps):
    batches = itertools.islice(reference.twin_batches(), steps)
    return np.array([float(model.train_on_batch(*batch)) for batch in batches])


def rounding_of_pytorch(steps):
    """Largest difference of its float32 and float64 losses so far."""
    differences = np.abs(FIXTURE["losses_float32"] - FIXTURE["losses_float64"])
    return np.maximum.accumulate(differences)[:steps]


def bilinear(old, new):
    """Weights `(new, old)` of a resize along one axis."""
    position = np.maximum((np.arange(new) + 0.5) * old / new - 0.5, 0)
    first = position.astype(int)
    weights = np.zeros((new, old))
    weights[np.arange(new), first] = 1 - (position - first)
    weights[np.arange(new), np.minimum(first + 1, old - 1)] += position - first
    return weights


def resize_in_float64(self, inputs):
    """`ResizeLike.call` by products of matrices: TensorFlow resizes to float32 only."""
    x, like = inputs
    for axis in (1, 2):
        weights = keras.ops.convert_to_tensor(bilinear(x.shape[axis], like.shape[axis]), x.dtype)
        x = keras.ops.moveaxis(keras.ops.tensordot(x, weights, ((axis,), (1,))), -1, axis)
    return x


@contextlib.contextmanager
def float64():
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    try:
        yield
    finally:
        keras.config.set_floatx(before)


@pytest.mark.long
def test_float64(monkeypatch):
    """The losses before any update, and the one after the first update with a rate above 0.

    Keras computes the rate in float32. Later losses part faster than rounding alone explains.
    """
    single = reference.twin_model()
    monkeypatch.setattr(ResizeLike, "call", resize_in_float64)
    with float64():
        # Layers that are float32 under every policy, too. Normalised pixels are exact in float32.
        text = single.to_json().replace('"float32"', '"float64"')
        model = keras.models.model_from_json(text)
        model.set_weights(single.get_weights())
        kd.compile_for_training(model, reference.twin_recipe())
        model.loss._dtype = "float64"
        losses = losses_of(model, 3)
    difference = np.abs(losses - FIXTURE["losses_float64"][:3])
    assert np.all(difference <= [1e-12, 1e-12, 1e-8]), difference


@pytest.mark.long
def test_float32():
    """The recipe's own schedule and precision: as far from float64 as PyTorch's float32 is."""
    model = reference.twin_model()
    kd.compile_for_training(model, reference.twin_recipe())
    difference = np.abs(losses_of(model, 20) - FIXTURE["losses_float64"])
    assert np.all(difference <= 10 * rounding_of_pytorch(20)), difference
