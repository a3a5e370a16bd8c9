"""Batch normalisation against its formula in NumPy."""

import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_deeplab.models.batch_norm import BatchNormalization

EPSILON, KEPT = 1e-5, 0.9
GAMMA, BETA = np.array([1.5, 0.5, -1.0]), np.array([0.1, 0.2, -3.0])
MEAN, VARIANCE = np.array([1.0, 0.0, 2.0]), np.array([0.5, 4.0, 1.0])  # moved so far
X = (np.random.default_rng(0).standard_normal((2, 3, 4, 3)) * [1, 2, 3] + [3, 0, -2]).astype("f")


def layer(**options):
    norm = BatchNormalization(epsilon=EPSILON, momentum=KEPT, **options)
    norm.build(X.shape)
    norm.set_weights([GAMMA, BETA, MEAN, VARIANCE])
    return norm


def normalised(x, mean, variance):
    return (x - mean) / np.sqrt(variance + EPSILON) * GAMMA + BETA


def expected_gradient(outputs_gradient):
    """Of the inputs: ICML 2015 (Ioffe and Szegedy), section 3, written out."""
    axes, count = (0, 1, 2), X[..., 0].size
    x = X.astype("float64")
    scaled = (x - x.mean(axes)) / np.sqrt(x.var(axes) + EPSILON)
    gradient = outputs_gradient * GAMMA
    gradient -= gradient.sum(axes) / count + scaled * (gradient * scaled).sum(axes) / count
    return gradient / np.sqrt(x.var(axes) + EPSILON)


def test_training_follows_the_formula():
    norm = layer()
    slope = np.random.default_rng(1).standard_normal(X.shape)
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = norm(x, training=True)
    gradient = tape.gradient(outputs, x, tf.constant(slope, "float32"))
    axes = (0, 1, 2)
    np.testing.assert_allclose(outputs, normalised(X, X.mean(axes), X.var(axes)), atol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient(slope), atol=1e-5)
    mean = KEPT * MEAN + (1 - KEPT) * X.mean(axes)
    variance = KEPT * VARIANCE + (1 - KEPT) * X.var(axes, ddof=1)
    np.testing.assert_allclose(norm.moving_mean, mean, rtol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, variance, rtol=1e-5)


@pytest.mark.parametrize("options", [{"training": False}, {}, {"training": True}])
def test_frozen_or_in_inference_it_uses_and_keeps_the_moving_statistics(options):
    norm = layer()
    norm.trainable = not options.get("training")
    np.testing.assert_allclose(norm(X, **options), normalised(X, MEAN, VARIANCE), atol=1e-5)
    np.testing.assert_array_equal(norm.moving_mean, MEAN)
    np.testing.assert_array_equal(norm.moving_variance, VARIANCE)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_statistics_keep_their_precision_under_every_policy(dtype):
    norm = layer(dtype=dtype)
    x = X.astype(norm.compute_dtype)
    outputs = norm(x, training=True)
    assert keras.backend.standardize_dtype(outputs.dtype) == norm.compute_dtype
    assert norm.moving_variance.dtype == norm.variable_dtype
    variance = KEPT * VARIANCE + (1 - KEPT) * x.astype("float64").var((0, 1, 2), ddof=1)
    np.testing.assert_allclose(norm.moving_variance, variance, rtol=1e-5)


TWO_REPLICAS = """
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

import numpy as np
from models.test_batch_norm import BETA, GAMMA, KEPT, MEAN, VARIANCE, X, layer

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    norm = layer(synchronized=True)
alone = layer(synchronized=True)
slopes = np.random.default_rng(1).standard_normal(X.shape).astype("f")

def both(norm, x, slope):
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = norm(x, training=True)
    return outputs, tape.gradient(outputs, x, slope)

def halves(array):
    return strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(array[[context.replica_id_in_sync_group]])
    )

for offset in (0, 300):  # the second is 100 to 300 times the standard deviation
    x = X + np.float32(offset)
    for each in (norm, alone):
        each.set_weights([GAMMA, BETA, MEAN, VARIANCE])
    shared = strategy.run(
        tf.function(lambda x, slope: both(norm, x, slope)), args=(halves(x), halves(slopes))
    )
    for ours, theirs in zip(shared, both(alone, tf.constant(x), slopes), strict=True):
        parts = strategy.experimental_local_results(ours)
        np.testing.assert_allclose(np.concatenate(parts), theirs, atol=1e-5 + 1e-6 * offset)
    for ours, theirs in zip(norm.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    variance = x.astype("float64").var((0, 1, 2), ddof=1)
    np.testing.assert_allclose(
        norm.moving_variance, KEPT * VARIANCE + (1 - KEPT) * variance, rtol=1e-5
    )
"""


@pytest.mark.long
def test_replicas_share_the_statistics_of_the_global_batch():
    """Outputs, gradients and moving statistics, also where the mean hides the variance.

    In a process of its own: logical devices must be set up before TensorFlow starts.
    """
    tests = pathlib.Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", TWO_REPLICAS], cwd=tests, check=True)
