"""Training steps of the tiny network against NumPy in float64."""

import numpy as np
from reference import golden
from step_oracle import Network, poly, train_step
from tiny import tiny_model

import keras_deeplab as kd

RECIPE = kd.Recipe(steps=4, learning_rate=0.05, end_learning_rate=0.01, weight_decay=0.02)


def batch(step):
    images = np.random.default_rng(step).integers(0, 256, (2, 32, 32, 3)).astype("uint8")
    return images, golden.make_label(f"step {step}", 2, 32, 32, 3, ignore_fraction=0.3)


def set_weights(model, seed=2):
    """Gives every variable values of order 1, so that every gradient matters; returns them."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        values = rng.standard_normal(weight.shape) / np.sqrt(np.prod(weight.shape[:-1]))
        weight.assign(np.abs(values) + 0.5 if "variance" in weight.path else values)
    return variables(model)


def variables(model):
    return {weight.path: np.asarray(weight, np.float64) for weight in model.weights}


def momenta(model):
    pairs = zip(model.trainable_variables, model.optimizer.momentums, strict=True)
    return {weight.path: np.asarray(momentum, np.float64) for weight, momentum in pairs}


def assert_close(found, expected):
    """Equal but for rounding: sums of 2048 pixels in float32 lose some 50 of its units."""
    assert found.keys() == expected.keys()
    for path, value in expected.items():
        allowed = 100 * np.finfo("float32").eps * max(np.abs(value).max(), 1)
        np.testing.assert_allclose(found[path], value, rtol=0, atol=allowed, err_msg=path)


def test_steps_with_both_heads():
    """Loss, gradients, L2, momentum, learning rate and batch norm's moving statistics."""
    model = tiny_model(3, dropout=0.0, aux_head=True)
    kd.compile_for_training(model, RECIPE)
    expected = set_weights(model)
    start = dict(expected)
    velocities = {weight.path: np.zeros(weight.shape) for weight in model.trainable_variables}
    for step in range(3):
        images, labels = batch(step)
        network = Network(expected, images, labels)
        assert network.nearest > 1e-5  # else rounding decides what a ReLU lets through
        loss = float(model.train_on_batch(images, labels))
        train_step(expected, velocities, network, poly(step, 4, 0.05, 0.01), l2=0.02)
        np.testing.assert_allclose(loss, network.loss, rtol=1e-5)
        assert_close(variables(model), expected)
        assert_close(momenta(model), velocities)
    assert all(np.abs(expected[path] - start[path]).max() > 1e-3 for path in expected)
