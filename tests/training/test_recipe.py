import dataclasses
import math

import keras
import numpy as np
import pytest
from reference import golden
from tiny import blocks, tiny_model, with_statistics

import keras_deeplab as kd
from keras_deeplab.training.compiling import make_schedule
from keras_deeplab.training.recipe import RECIPES

SGD = {"steps": 4, "learning_rate": 0.1, "end_learning_rate": 0.1, "batch_size": 2}


def batch(count=2, size=32):
    images = np.random.default_rng(0).integers(0, 256, (count, size, size, 3)).astype("uint8")
    return images, golden.make_label("recipe", count, size, size, 2, ignore_fraction=0.3)


def trained(recipe, batches, eager=True):
    """The tiny network, trained before, before and after some batches: arrays by path."""
    model = with_statistics(tiny_model(dropout=0.0))
    before = weights(model)
    kd.compile_for_training(model, recipe)
    model.run_eagerly = eager  # compiling takes longer than a few steps
    for images, labels in batches:
        model.train_on_batch(images, labels)
    return before, weights(model)


def weights(model):
    return {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.weights}


def changed(before, after):
    return {path for path in before if not np.array_equal(before[path], after[path])}


def test_bad_recipes_are_named():
    for options, message in (
        ({"steps": 0}, "steps must be 1 or more, got 0"),
        ({"optimizer": "lamb"}, "'sgd' or 'adamw', got 'lamb'"),
        ({"learning_rate": -1e-3}, "learning_rate must be positive"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive"),
        ({"backbone_lr_factor": -0.1}, "backbone_lr_factor must be positive"),
        ({"end_learning_rate": -1e-4}, "end_learning_rate must be 0 or more"),
        ({"weight_decay": -1e-4}, "weight_decay must be 0 or more"),
        ({"warmup": -1}, "warmup must be 0 or more"),
        ({"warmup": 2.5}, "whole steps or a share below 1, got 2.5"),
        ({"warmup": 100, "steps": 100}, "warmup must be shorter than the 100 steps, got 100"),
        ({"learning_rate": 5e-5, "end_learning_rate": 1e-4}, "0.0001 .*--lr.*the rate would rise"),
        ({"scale_range": (2.0, 0.5)}, "in ascending order"),
        ({"ema": 1.0}, "strictly between 0 and 1, got 1.0"),
        ({"clip_norm": 0}, "positive, got 0"),
        ({"steps": 10, "accumulate": 4}, "multiple of accumulate 4"),
        ({"freeze": "layer9"}, "freeze must be None or 'stem'"),
        ({"loss": {"hinge": 1}}, "Unknown loss 'hinge'"),
        ({"loss": {"dice": 1, "lovasz": 1}, "class_weights": (1, 2)}, "no effect on dice, lovasz"),
        ({"loss": "dice"}, "must be a dict such as {'dice': 1.0}, got 'dice'"),
        ({"ohem_min_kept": 100}, "for the loss ohem, not for crossentropy"),
        ({"loss": {"ohem": 1}, "crop": 64, "ohem_min_kept": 4096}, "all would be kept"),
    ):
        with pytest.raises(ValueError, match=message):
            kd.Recipe(**options)
    with pytest.raises(ValueError, match=r"Unknown recipe 'published'.*published_80k"):
        kd.compile_for_training(tiny_model(), "published")


def test_what_ohem_keeps_reaches_the_loss():
    recipe = kd.Recipe(loss={"ohem": 1.0, "dice": 1.0}, ohem_min_kept=70)
    model = kd.compile_for_training(tiny_model(), recipe)
    assert model.loss.parts[0].min_kept == 70


def test_the_published_recipe_is_what_the_reference_states():
    """mmsegmentation: schedule_80k, models/deeplabv3plus_r50-d8, 4 GPUs with 4 samples."""
    stated = {"steps": 80_000, "batch_size": 16, "learning_rate": 0.01, "end_learning_rate": 1e-4}
    assert RECIPES["published_80k"].resolved().items() >= stated.items()
    model = tiny_model()
    kd.compile_for_training(model, "published_80k")
    assert (model.optimizer.momentum, model.optimizer.l2) == (0.9, 5e-4)
    assert model.loss.get_config()["divide_by"] == "all"


@pytest.mark.parametrize("name", RECIPES)
def test_every_named_recipe_trains(name):
    # Two, for the first step of a warm-up changes nothing.
    before, after = trained(name, [batch()] * 2, eager=False)
    assert changed(before, after)
    assert all(np.isfinite(value).all() for value in after.values())


def test_cosine_after_a_warm_up():
    recipe = kd.Recipe(
        steps=110, learning_rate=0.02, end_learning_rate=0.002, warmup=10, schedule="cosine"
    )
    schedule = make_schedule(recipe)
    for step, expected in ((0, 0), (5, 0.01), (10, 0.02), (60, 0.011), (110, 0.002)):
        assert float(schedule(step)) == pytest.approx(expected, rel=1e-5)
    quarter = 0.002 + 0.018 * (1 + math.cos(math.pi / 4)) / 2
    assert float(schedule(35)) == pytest.approx(quarter, rel=1e-5)


@pytest.mark.parametrize("schedule", ["poly", "cosine"])
@pytest.mark.parametrize("name", RECIPES)
def test_rates_and_warm_up_scale_with_what_is_given(name, schedule):
    given = {"learning_rate": 5e-5, "steps": 100, "schedule": schedule}
    recipe = dataclasses.replace(RECIPES[name], **given)
    rates = [float(make_schedule(recipe)(step)) for step in range(101)]
    warm = 0 if name == "published_80k" else 5
    assert rates[-1] == pytest.approx(5e-7) and max(rates) == pytest.approx(5e-5, rel=0.05)
    assert abs(np.argmax(rates) - warm) <= 1
    assert np.all(np.diff(rates[warm:]) < 0) and np.all(np.diff(rates[:warm]) > 0)
    assert (rates[0] < 5e-5 / 4) == bool(warm)


def test_frozen_layers_do_not_move():
    heads = {"decode_head-conv_seg/kernel", "decode_head-conv_seg/bias"}
    statistics = {
        f"backbone-{stage}-bn/{name}"
        for stage in ("stem", "layer1")
        for name in ("moving_mean", "moving_variance")
    }
    recipe = kd.Recipe(**SGD, freeze="backbone")
    assert changed(*trained(recipe, [batch()])) == heads
    layer1 = {"backbone-layer1-conv/kernel", "backbone-layer1-bn/gamma", "backbone-layer1-bn/beta"}
    recipe = kd.Recipe(**SGD, freeze="stem")
    moving = {path for path in statistics if "layer1" in path}
    assert changed(*trained(recipe, [batch()])) == heads | layer1 | moving
    recipe = kd.Recipe(**SGD, freeze_batch_norm=True)
    kernels = {"backbone-stem-conv/kernel", "backbone-layer1-conv/kernel"}
    assert changed(*trained(recipe, [batch()])) == heads | kernels


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_backbone_learns_at_its_own_rate(optimizer):
    """After one step from zero momentum the change is proportional to the rate, decay included."""
    settings = {**SGD, "optimizer": optimizer, "weight_decay": 0.5}
    before, full = after_gradients(kd.Recipe(**settings))
    _, tenth = after_gradients(kd.Recipe(**settings, backbone_lr_factor=0.1))
    for path, start in before.items():
        if "moving" in path:
            continue
        factor = 0.1 if path.startswith("backbone") else 1.0
        expected = start + factor * (full[path] - start)
        np.testing.assert_allclose(tenth[path], expected, rtol=0, atol=1e-6, err_msg=path)


def after_gradients(recipe):
    """The tiny network before and after an update by given gradients."""
    model = kd.compile_for_training(tiny_model(), recipe)
    before = weights(model)
    rng = np.random.default_rng(0)
    gradients = [
        keras.ops.array(rng.standard_normal(variable.shape), dtype="float32")
        for variable in model.trainable_variables
    ]
    model.optimizer.apply(gradients, model.trainable_variables)
    return before, weights(model)


def test_two_accumulated_batches_are_one_of_both():
    images, labels = batch(4)
    settings = {**SGD, "freeze_batch_norm": True, "clip_norm": 0.5}
    parts = [(images[:2], labels[:2]), (images[2:], labels[2:])]
    _, whole = trained(kd.Recipe(**settings), [(images, labels)])
    before, accumulated = trained(kd.Recipe(**settings, accumulate=2), parts)
    assert not changed(before, trained(kd.Recipe(**settings, accumulate=2), parts[:1])[1])
    for path, value in whole.items():
        np.testing.assert_allclose(accumulated[path], value, atol=1e-6, err_msg=path)


def test_gradients_are_clipped_together():
    settings = {**SGD, "weight_decay": 0.0, "freeze_batch_norm": True}
    before, after = trained(kd.Recipe(**settings, clip_norm=0.01), [batch()])
    squares = sum(np.square(after[path] - before[path]).sum() for path in before)
    assert math.sqrt(squares) == pytest.approx(0.1 * 0.01, rel=1e-3)


def losses_under(policy):
    """Losses of four steps at a rate that more than halves them, and the model."""
    keras.mixed_precision.set_dtype_policy(policy)
    try:
        model = tiny_model(dropout=0.0)
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    assert {output.dtype for output in model.outputs} == {"float32"}
    kd.compile_for_training(model, kd.Recipe(steps=4, learning_rate=1.0))
    images, labels = next(iter(blocks(2, 32).batch(2)))
    return [float(model.train_on_batch(images, labels)) for _ in range(4)], model


def test_mixed_precision_trains_as_float32_does():
    """bfloat16 has 8 bits of mantissa, float16 has 11: that is 2e-3 and 2.4e-4 of a value.

    The losses, means of 2048 pixels, differed by half as much.
    """
    exact, _ = losses_under("float32")
    assert exact[3] < exact[0] / 2
    for policy, tolerance in (("mixed_bfloat16", 0.02), ("mixed_float16", 0.003)):
        losses, model = losses_under(policy)
        assert {weight.dtype for weight in model.trainable_variables} == {"float32"}
        assert hasattr(model.optimizer, "dynamic_scale") == (policy == "mixed_float16")
        np.testing.assert_allclose(losses, exact, rtol=tolerance)


def test_a_step_that_overflows_float16_is_left_out():
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        model = tiny_model(dropout=0.0)
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    kd.compile_for_training(model, kd.Recipe(**SGD))
    model.run_eagerly = True
    model.train_on_batch(*batch())
    model.optimizer.dynamic_scale.assign(1e30)  # gradients beyond float16
    before, steps = weights(model), int(model.optimizer.iterations)
    model.train_on_batch(*batch())
    kept = {path for path in changed(before, weights(model)) if "moving" not in path}
    assert not kept and int(model.optimizer.iterations) == steps
    assert float(model.optimizer.dynamic_scale) == np.float32(5e29)
