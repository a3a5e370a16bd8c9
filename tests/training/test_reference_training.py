"""The published training, step by step, beside the values of the PyTorch implementation."""

import numpy as np
import pytest
import reference
from reference import golden

import keras_deeplab as kd
from keras_deeplab.training.optimizers import PolynomialDecay


def test_losses_of_five_steps():
    """Main and auxiliary loss of the real network; `test_step.py` has the single quantities."""
    fixture = reference.read("training/train_r18_potsdam_stable.json")
    images = golden.make_scene(fixture["case"], 2, 128, 128)
    labels = golden.make_label(fixture["case"], 2, 128, 128, 6)
    model = reference.golden_model(18, aux_head=True, dropout=0.0, include_preprocessing=False)
    kd.compile_for_training(model, kd.Recipe(learning_rate=0.001))
    model.run_eagerly = True  # the same operations without the seconds that compiling takes
    losses = [float(model.train_on_batch(images, labels)) for _ in range(5)]
    single, double = (
        np.array([step["loss"] for step in fixture[f"steps_{dtype}"]])
        for dtype in ("float32", "float64")
    )
    assert losses[0] == pytest.approx(double[0], abs=2e-5)
    # Batch norm over the two pooled values of a channel magnifies rounding: one update brings
    # 7e-6 with oneDNN's kernels and 3.4e-5 with Eigen's, which processors without VNNI get.
    assert losses[1] == pytest.approx(double[1], abs=1e-4)
    # From then on float32 and float64 part in the reference itself, and so may ours from either.
    spread = np.abs(single - double).max()
    np.testing.assert_allclose(losses[2:], double[2:], rtol=0, atol=10 * spread)


def test_learning_rates():
    fixture = reference.read("schedule/poly_0.01_80000.json")
    schedule = PolynomialDecay(fixture["base_lr"], fixture["max_iters"], end=fixture["min_lr"])
    for row in fixture["rows"]:
        rate = float(schedule(row["iteration"]))
        assert rate == pytest.approx(row["mmseg_0x"], abs=1e-9), row["iteration"]
