"""Statistics of batch norm from plain batches: against the batches themselves and NumPy."""

import keras
import numpy as np
import tensorflow as tf
from tiny import blocks, tiny_model, with_statistics

import keras_deeplab as kd
from keras_deeplab.data.augmentation.batches import training_batches
from keras_deeplab.training.loop.precise_bn import set_batch_norm_statistics


def plain_batches(seed, count):
    batches = training_batches(
        blocks(), batch_size=2, crop=32, seed=seed, scale_range=(1.0, 1.0), rotate=True
    )
    return batches.take(count)


def norms_of(model):
    return [x for x in model._flatten_layers() if isinstance(x, keras.layers.BatchNormalization)]


def test_one_batch_predicts_as_it_is_trained():
    """But for the moving variance, which is the unbiased one, as in PyTorch."""
    model = with_statistics(tiny_model(dropout=0.0))
    batches = plain_batches(3, 1)
    ((images, _),) = batches
    weights = [np.asarray(weight) for weight in model.trainable_weights]
    trained = np.asarray(model(images, training=True))
    before = np.abs(np.asarray(model(images, training=False)) - trained).max()
    set_batch_norm_statistics(model, batches)
    after = np.abs(np.asarray(model(images, training=False)) - trained).max()
    assert after < 0.2 * before
    for weight, kept in zip(model.trainable_weights, weights, strict=True):
        np.testing.assert_array_equal(weight, kept)


def test_statistics_of_the_first_norm_are_those_of_all_positions():
    model = with_statistics(tiny_model(dropout=0.0))
    norm = norms_of(model)[0]
    inputs = keras.Model(model.inputs, norm.input)
    batches = plain_batches(4, 5)
    values = np.concatenate([np.asarray(inputs(images)) for images, _ in batches])
    set_batch_norm_statistics(model, batches)
    np.testing.assert_allclose(norm.moving_mean, values.mean((0, 1, 2)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(norm.moving_variance, values.var((0, 1, 2)), rtol=2e-3, atol=1e-4)


def test_frozen_norms_keep_their_statistics():
    model = with_statistics(tiny_model())
    frozen, *others = norms_of(model)
    frozen.trainable = False
    kept = np.asarray(frozen.moving_mean), np.asarray(frozen.moving_variance)
    others_before = [np.asarray(norm.moving_mean) for norm in others]
    set_batch_norm_statistics(model, plain_batches(5, 1))
    np.testing.assert_array_equal(frozen.moving_mean, kept[0])
    np.testing.assert_array_equal(frozen.moving_variance, kept[1])
    assert all(
        np.any(np.asarray(norm.moving_mean) != before)
        for norm, before in zip(others, others_before, strict=True)
    )


def test_a_run_ends_with_the_statistics_of_its_averaged_weights(tmp_path):
    """Those of `best` or `averaged` weights are computed again from the same batches."""
    recipe = kd.Recipe(
        steps=4, batch_size=2, crop=32, learning_rate=0.05, ema=0.5, precise_bn=3, seed=6
    )
    model = tiny_model(dropout=0.0)
    kd.train(model, blocks(), recipe=recipe, output=tmp_path / "run", classes=["dark", "bright"])
    found = [np.asarray(norm.moving_variance) for norm in norms_of(model)]
    set_batch_norm_statistics(model, plain_batches(6, 3))
    for norm, variance in zip(norms_of(model), found, strict=True):
        np.testing.assert_allclose(norm.moving_variance, variance, rtol=1e-5, atol=1e-7)
    loaded = tiny_model(dropout=0.0)
    loaded.load_weights(tmp_path / "run" / "averaged.weights.h5")
    images = tf.zeros([1, 32, 32, 3])
    np.testing.assert_allclose(loaded(images), model(images), atol=1e-4)
