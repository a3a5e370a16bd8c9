import subprocess
import sys

import keras
import numpy as np
import pytest
from reference import golden, golden_model

import keras_deeplab as kd
from keras_deeplab.models.inputs import input_statistics
from keras_deeplab.models.layers import ImageInput


@pytest.fixture(scope="module")
def model():
    return golden_model(18)


@pytest.mark.parametrize(
    ("variant", "options", "message"),
    [
        ("r50_d9", {}, "'r50_d9'. Did you mean 'r50_d8'"),
        ("r50_d8", {"num_classes": 0}, "positive integer, got 0"),
        ("r50_d8", {"num_classes": -3}, "positive integer, got -3"),
        ("r50_d8", {"num_classes": 2.0}, "positive integer, got 2.0"),
        ("r50_d8", {"num_classes": True}, "positive integer, got True"),
        ("r50_d8", {"output_stride": 32}, "8 or 16, got 32"),
        ("r50_d8", {"multi_grid": (1, 2)}, "each of the 3 blocks"),
        ("r18_d8", {"multi_grid": (1, 2, 4)}, "each of the 2 blocks"),
        ("r18_d8", {"input_shape": (31, 64, 3)}, "height is 31 pixels"),
        ("r18_d8", {"input_shape": (None, 16, 3)}, "width is 16 pixels"),
        ("r18_d8", {"input_shape": (None, None, None)}, "known channels"),
        ("r18_d8", {"dropout": 1.0}, "dropout must be in"),
    ],
)
def test_bad_options(variant, options, message):
    with pytest.raises(ValueError, match=message):
        kd.build(variant, **{"num_classes": 6, **options})


def test_a_direct_call_checks_size_and_channels(model):
    with pytest.raises(ValueError, match="height is 31 pixels"):
        model(np.zeros((1, 31, 64, 3), "uint8"))
    with pytest.raises(ValueError, match="4 channels"):
        model(np.zeros((1, 64, 64, 4), "uint8"))


def test_preprocessing_is_inside(model):
    """uint8 in; equal to normalising by hand before a model without preprocessing."""
    image = golden.make_image_u8("preprocessing", 40, 56)[np.newaxis]
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    bare = golden_model(18, include_preprocessing=False)
    expected = bare(((image - mean) / std).astype("float32"), training=False)
    np.testing.assert_allclose(model(image, training=False), expected, atol=1e-4)


def test_options_change_the_network_they_name(model):
    image = golden.make_image_u8("options", 64, 64)[np.newaxis]
    logits = np.asarray(model(image, training=False))
    softmax = golden_model(18, activation="softmax", aux_head=True)(image, training=False)
    for key in ("logits", "aux_logits"):
        np.testing.assert_allclose(np.asarray(softmax[key]).sum(-1), 1, atol=1e-5)
    exponentials = np.exp(logits)
    expected = exponentials / exponentials.sum(-1, keepdims=True)
    np.testing.assert_allclose(softmax["logits"], expected, atol=1e-5)
    small = golden_model(18, resize_logits=False, aux_head=True)(image, training=False)
    assert small["logits"].shape == (1, 16, 16, 6)
    assert small["aux_logits"].shape == (1, 8, 8, 6)
    as_d16 = np.asarray(golden_model(18, output_stride=16)(image, training=False))
    assert np.abs(as_d16 - logits).max() > 0.01


def test_dropout_and_sync_batch_norm_reach_the_layers():
    model = kd.build("r18_d16", 6, aux_head=True, dropout=0.3, sync_batch_norm=True)
    rates = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    rates += [layer.rate for layer in model.layers if "dropout" in layer.name]
    assert set(rates) == {0.3}
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert norms and all(norm.synchronized for norm in norms)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_any_number_of_channels_is_normalised(channels):
    """Grey of the mean colour becomes about 0 in every channel, and each deviation about 1."""
    normalise = ImageInput(*input_statistics(channels))
    image = np.full((1, 32, 32, channels), 114.5, "float32")
    low, high = np.asarray(normalise(image)), np.asarray(normalise(image + 57.4))
    assert (abs(low) < 0.21).all() and (abs(high - low - 1) < 0.02).all()
    if channels == 5:
        np.testing.assert_allclose(low[..., 3:], low[..., :3].mean(), atol=0.01)


@pytest.mark.parametrize(("channels", "include_preprocessing"), [(5, True), (4, False)])
def test_a_network_of_other_channels(channels, include_preprocessing):
    options = {"include_preprocessing": include_preprocessing}
    model = kd.build("r18_d16", 2, input_shape=(None, None, channels), **options)
    normalise = model.get_layer("preprocessing")
    assert bool(normalise.mean) == include_preprocessing
    assert model(np.zeros((1, 32, 32, channels), "float32")).shape == (1, 32, 32, 2)


def test_numpy_integers_are_integers(tmp_path):
    """Also in the config that a file holds, which is JSON."""
    model = kd.build("r18_d8", np.int64(3), output_stride=np.int64(16))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded(np.zeros((1, 32, 32, 3), "uint8")).shape == (1, 32, 32, 3)
    assert type(loaded.get_layer("decode_head-conv_seg").filters) is int
    assert model.get_layer("backbone-layer3-1-conv1").dilation_rate == (1, 1)


def test_logits_are_float32_under_mixed_precision(model):
    image = golden.make_image_u8("precision", 64, 64)[np.newaxis]
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = golden_model(18)
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    logits = np.asarray(mixed(image, training=False))
    assert logits.dtype == np.float32
    assert mixed.get_layer("backbone-layer1-0-conv1").compute_dtype == "bfloat16"
    np.testing.assert_allclose(logits, np.asarray(model(image, training=False)), atol=0.15)


@pytest.mark.long
def test_keras_file_loads_in_safe_mode_in_a_new_process(model, tmp_path):
    image = golden.make_image_u8("saving", 64, 64)[np.newaxis]
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "image.npy", image)
    code = (
        "import keras, keras_deeplab, numpy as np\n"
        "model = keras.saving.load_model('model.keras', safe_mode=True)\n"
        "np.save('logits.npy', model(np.load('image.npy'), training=False))\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    expected = model(image, training=False)
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), expected, atol=1e-5)


def test_the_name_of_the_package_costs_nothing():
    """Neither Keras nor TensorFlow is imported before it is needed."""
    code = (
        "import sys, keras_deeplab as kd\n"
        "kd.list_variants(); kd.list_models(); kd.data.ClassTable\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
