"""The published training, step by step, beside the values of the PyTorch implementation."""

import numpy as np
import pytest
import reference
from reference import golden

import keras_deeplab as kd
from keras_deeplab.training.loop.deterministic import deterministic_gradients
from keras_deeplab.training.optimizers import PolynomialDecay


def test_losses_of_five_steps():
    """Main and auxiliary loss, the optimizer, and batch norm in training, all at once."""
    fixture = reference.read("training/train_r18_potsdam_stable.json")
    images = golden.make_scene(fixture["case"], 2, 128, 128)
    labels = golden.make_label(fixture["case"], 2, 128, 128, 6)
    model = reference.golden_model(18, aux_head=True, dropout=0.0, include_preprocessing=False)
    kd.compile_for_training(model, kd.Recipe(learning_rate=0.001))
    with deterministic_gradients():
        losses = [float(model.train_on_batch(images, labels)) for _ in range(5)]
    expected = [step["loss"] for step in fixture["steps_float64"]]
    # float32 and float64 differ by 1.7e-4 in the reference itself, and so may ours in either.
    np.testing.assert_allclose(losses[:4], expected[:4], rtol=0, atol=2 * 1.7e-4)
    # Each step magnifies the rounding of those before, and processors round differently: the fifth
    # loss was off by 3.4e-4 on one with AVX-512, and by 5.4e-4 on one without.
    np.testing.assert_allclose(losses[4], expected[4], rtol=0, atol=1e-3)
    assert losses[0] == pytest.approx(expected[0], abs=1e-5)


def test_learning_rates():
    fixture = reference.read("schedule/poly_0.01_80000.json")
    schedule = PolynomialDecay(fixture["base_lr"], fixture["max_iters"], end=fixture["min_lr"])
    for row in fixture["rows"]:
        rate = float(schedule(row["iteration"]))
        assert rate == pytest.approx(row["mmseg_0x"], abs=1e-9), row["iteration"]
