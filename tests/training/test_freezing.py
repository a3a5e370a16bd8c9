"""Recipes freeze trained weights only, and refuse batches that batch norm cannot learn from."""

import keras
import numpy as np
import pytest
from tiny import tiny_model, with_statistics
from toy import start_python

import keras_deeplab as kd
from keras_deeplab.checkpoints.keras_files import save_keras_weights
from keras_deeplab.checkpoints.loading import init_weights
from keras_deeplab.training.freezing import frozen_layers

POOL = "decode_head-image_pool-1-bn"


@pytest.fixture
def network():
    """A network whose backbone was trained; both heads are fresh."""
    return with_statistics(kd.build("r18_d16", 3, aux_head=True), "backbone")


def norms(model, prefix=""):
    return {
        layer.name
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization) and layer.name.startswith(prefix)
    }


def test_batch_norms_of_fresh_heads_are_trained(network):
    recipe = kd.Recipe(batch_size=2, freeze_batch_norm=True)
    kd.compile_for_training(network, recipe)
    assert set(frozen_layers(network)) == norms(network, "backbone") != norms(network)
    network.run_eagerly = True
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype("uint8")
    network.train_on_batch(images, np.zeros((2, 64, 64), "uint8"))
    assert np.any(network.get_layer(POOL).moving_mean)
    kd.compile_for_training(network, recipe)  # now they are trained, too
    assert set(frozen_layers(network)) == norms(network)


def test_a_recipe_decides_alone_what_is_trainable(network):
    everything = len(network.trainable_variables)
    kd.compile_for_training(network, "finetune_heads")
    heads = network.trainable_variables
    assert not any(variable.path.startswith("backbone") for variable in heads) and heads
    kd.compile_for_training(network, kd.Recipe())
    assert len(network.trainable_variables) == everything
    network.trainable = False
    network.get_layer("decode_head-conv_seg").trainable = False
    kd.compile_for_training(network, kd.Recipe())
    assert len(network.trainable_variables) == everything


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("finetune", "freeze_batch_norm .--freeze-bn. has nothing to freeze.*--init"),
        ("finetune_heads", "freeze='backbone' would keep random weights.*--init"),
        (kd.Recipe(freeze="layer1"), "freeze='layer1' would keep random weights"),
    ],
)
def test_random_weights_are_not_frozen(tmp_path, recipe, message):
    model = tiny_model()
    with pytest.raises(ValueError, match=message):
        kd.compile_for_training(model, recipe)
    assert not frozen_layers(model) and not model.compiled
    # Weights may come from anywhere.
    with_statistics(tiny_model(seed=1)).save_weights(tmp_path / "mine.weights.h5")
    model.load_weights(tmp_path / "mine.weights.h5")
    kd.compile_for_training(model, recipe)
    assert "backbone-layer1-bn" in frozen_layers(model)


def test_a_first_convolution_that_starts_fresh_is_trained(tmp_path):
    four = with_statistics(kd.build("r18_d16", 2, input_shape=(None, None, 4)))
    save_keras_weights(four, tmp_path / "four.weights.h5")
    model = kd.build("r18_d16", 2)
    init_weights(model, tmp_path / "four.weights.h5")
    kd.compile_for_training(model, kd.Recipe(freeze="backbone"))
    layers = {layer.name for layer in model.layers if layer.weights}
    backbone = {name for name in layers if name.startswith("backbone")}
    assert set(frozen_layers(model)) == backbone - {"backbone-stem-0"}
    model.run_eagerly = True
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("uint8")
    model.train_on_batch(images, np.zeros((2, 32, 32), "uint8"))
    kd.compile_for_training(model, kd.Recipe(freeze="backbone"))  # now it is trained, too
    assert set(frozen_layers(model)) == backbone


def test_a_batch_of_one_needs_a_frozen_image_pool(network):
    def compile_with(batch_size=1, **options):
        kd.compile_for_training(network, kd.Recipe(batch_size=batch_size, **options))

    compile_with(batch_size=2)
    fresh = "batch size of 2 or more, or freeze.*in a head with trained weights.*this head is fresh"
    with pytest.raises(ValueError, match=fresh):
        compile_with(freeze_batch_norm=True)
    with_statistics(network)
    with pytest.raises(ValueError, match=r"2 or more, or freeze batch norm .*--freeze-bn\)\."):
        compile_with(accumulate=4)
    compile_with(freeze_batch_norm=True)


@pytest.mark.long
def test_on_two_devices_the_samples_that_share_statistics_count():
    """Steps of the real norm: over one pooled value per channel the variance is 0."""
    process = start_python(
        """
import keras, numpy as np, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from keras_deeplab.models.layers import conv_module
from keras_deeplab.training.freezing import IMAGE_POOL_NORM, check_batch
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
pooled = np.random.default_rng(0).normal(size=(4, 1, 1, 3)).astype("float32")
for sync in (True, False):
    for batch in (2, 4):
        with strategy.scope():
            image = keras.Input((1, 1, 3))
            model = keras.Model(image, conv_module(image, 3, 1, IMAGE_POOL_NORM[:-3], sync=sync))
            model.compile("sgd", "mse")
        try:
            check_batch(model, batch, ())
            allowed = "allowed"
        except ValueError as error:
            allowed = str(error)
        model.fit(pooled[:batch], np.zeros((batch, 1, 1, 3)), batch_size=batch, verbose=0)
        variance = np.asarray(model.get_layer(IMAGE_POOL_NORM).moving_variance)
        print(sync, batch, bool(np.allclose(variance, 0.9)), allowed, sep="|", flush=True)
"""
    )
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    rows = [line.split("|") for line in output.splitlines() if line.startswith(("True", "False"))]
    assert [(row[0], row[1], row[2], row[3] == "allowed") for row in rows] == [
        ("True", "2", "False", True),
        ("True", "4", "False", True),
        ("False", "2", "True", False),
        ("False", "4", "False", True),
    ]
    assert "batch size of 4 or more, or share the statistics of all devices" in rows[2][3]
