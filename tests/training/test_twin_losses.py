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


class ExactCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Warm-up and cosine of a recipe in float64."""

    def __init__(self, recipe):
        steps = np.arange(recipe.steps)
        share = np.maximum(steps - recipe.warmup_steps, 0) / (recipe.steps - recipe.warmup_steps)
        low, high = recipe.final_learning_rate, recipe.learning_rate
        rates = low + 0.5 * (1 + np.cos(np.pi * share)) * (high - low)
        warm = high * steps / max(recipe.warmup_steps, 1)
        self.rates = np.where(steps < recipe.warmup_steps, warm, rates)

    def __call__(self, step):
        return keras.ops.take(keras.ops.convert_to_tensor(self.rates, "float64"), step)


@pytest.mark.long
def test_float64(monkeypatch):
    """Twenty losses in float64: what is left of the difference is rounding.

    Keras rounds the rate, and the betas of Adam's bias correction, to float32 whatever the type of
    the weights. Here they are exact, as in PyTorch.
    """
    single, recipe = reference.twin_model(), reference.twin_recipe()
    monkeypatch.setattr(ResizeLike, "call", resize_in_float64)
    with float64():
        # Layers that are float32 under every policy, too. Normalised pixels are exact in float32.
        text = single.to_json().replace('"float32"', '"float64"')
        model = keras.models.model_from_json(text)
        model.set_weights(single.get_weights())
        kd.compile_for_training(model, recipe)
        model.loss._dtype = "float64"
        optimizer = model.optimizer
        optimizer.beta_1, optimizer.beta_2 = (
            keras.ops.convert_to_tensor(beta, "float64") for beta in (0.9, 0.999)
        )
        optimizer._learning_rate = ExactCosine(recipe)
        losses = losses_of(model, 20)
    np.testing.assert_allclose(losses, FIXTURE["losses_float64"], rtol=0, atol=1e-9)


@pytest.mark.long
def test_float32():
    """The recipe's own schedule and precision: at most ten times PyTorch's rounding.

    The first losses may be rounded by chance to almost those of float64: hence 1e-5 for them.
    """
    model = reference.twin_model()
    kd.compile_for_training(model, reference.twin_recipe())
    difference = np.abs(losses_of(model, 20) - FIXTURE["losses_float64"])
    allowed = np.maximum(10 * rounding_of_pytorch(20), 1e-5)
    assert np.all(difference <= allowed), difference
