"""Training runs as models: what `train` writes, `load` reads."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from reference import golden

import keras_deeplab as kd
from keras_deeplab.models import heads
from keras_deeplab.models.deeplab import DeepLabV3Plus
from keras_deeplab.models.layers import conv_module
from keras_deeplab.zoo.run_folders import read_run, run_weights

IMAGE = golden.make_image_u8("runs", 64, 80)
RECIPE = kd.Recipe(steps=2, batch_size=2, crop=32, optimizer="adamw", learning_rate=1e-4)
TABLE = kd.data.ClassTable(("low", "high"), ((0, 0, 0), (255, 255, 255)))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two steps and the model that it left."""
    folder = tmp_path_factory.mktemp("runs") / "mine"
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (2, 40, 48, 3)).astype("uint8")
    labels = (images[..., 0] > 127).astype("uint8")
    with tiny.tiny_networks():
        model = kd.build("r18_d16", 2, output_stride=8)
        rows = kd.train(
            model,
            tf.data.Dataset.from_tensor_slices((images, labels)),
            recipe=RECIPE,
            output=folder,
            classes=TABLE,
            notes={"command": "by hand"},
        )
    return folder, model, rows


def test_load_gives_the_trained_model(run, tiny_networks):
    folder, trained, _ = run
    loaded = kd.load(folder)
    np.testing.assert_allclose(
        kd.predict(loaded, IMAGE), kd.predict(trained, IMAGE), rtol=0, atol=1e-5
    )
    assert loaded.metadata == trained.metadata
    assert loaded.metadata.classes == TABLE and loaded.metadata.tile_size == 32
    assert loaded.metadata.output_stride == 8  # not the variant's
    assert run_weights(folder).name == "last.weights.h5"


def test_other_classes_and_a_head_start_fresh(run, tiny_networks, caplog):
    model = kd.load(run[0], num_classes=5, aux_head=True)
    assert model.output["logits"].shape[-1] == 5
    assert "decode_head.conv_seg" in caplog.text and "auxiliary_head" in caplog.text


def test_train_returns_numbers(run):
    _, _, rows = run
    (row,) = rows
    assert row["step"] == 2 and isinstance(row["loss"], float) and row["val_miou"] is None
    assert isinstance(row["learning_rate"], float)


def test_the_record_notes_recipe_and_command(run):
    record = read_run(run[0])
    assert record["version"] == 2 and record["command"] == "by hand"
    assert record["recipe"] == json.loads(json.dumps(dataclasses.asdict(RECIPE)))


def test_a_run_of_an_older_version_loads(run, tiny_networks, tmp_path):
    folder = run[0]
    (tmp_path / "last.weights.h5").symlink_to(folder / "last.weights.h5")
    table = TABLE.to_json()
    old = {"variant": "r18_d16", "bands": None, "value_range": None, **table}
    (tmp_path / "run.json").write_text(json.dumps({**old, "recipe": {"crop": 32}}))
    model = kd.load(tmp_path, output_stride=8)
    np.testing.assert_array_equal(kd.predict(model, IMAGE), kd.predict(kd.load(folder), IMAGE))
    assert model.metadata.classes == TABLE and model.metadata.channel_names == "RGB"


def test_what_is_not_a_run_is_said(tmp_path):
    with pytest.raises(ValueError, match="is not a training run folder"):
        kd.load(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps(kd.ModelMetadata("r18_d16", TABLE).to_json()))
    with pytest.raises(ValueError, match="before its first save"):
        run_weights(tmp_path)


@pytest.mark.parametrize(
    ("changes", "classes", "message"),
    [
        ({"batch_size": 1}, TABLE, "leaves batch norm one image"),
        ({"batch_size": 1, "accumulate": 2}, TABLE, "leaves batch norm one image"),
        ({}, ["building"], "One class, 'building'"),
    ],
)
def test_a_training_that_cannot_learn_is_refused(tmp_path, changes, classes, message):
    model = kd.build("r18_d16", len(classes))
    dataset = tf.data.Dataset.from_tensors((IMAGE, np.zeros(IMAGE.shape[:2], "uint8")))
    recipe = dataclasses.replace(RECIPE, **changes)
    with pytest.raises(ValueError, match=message):
        kd.train(model, dataset, recipe=recipe, output=tmp_path / "run", classes=classes)
    assert not (tmp_path / "run").exists()


def test_a_batch_of_one_trains_with_frozen_batch_norm(tmp_path):
    """Of a small network with the layer that needs more."""
    image = keras.Input((None, None, 3))
    x = conv_module(image, 4, 3, "decode_head-image_pool-1")
    model = DeepLabV3Plus(image, heads.classifier(x, 2, "decode_head", dropout=0.1))
    dataset = tf.data.Dataset.from_tensors((IMAGE, np.zeros(IMAGE.shape[:2], "uint8")))
    recipe = dataclasses.replace(RECIPE, batch_size=1, steps=1)
    with pytest.raises(ValueError, match="leaves batch norm one image"):
        kd.train(model, dataset, recipe=recipe, output=tmp_path / "run", classes=TABLE)
    recipe = dataclasses.replace(recipe, freeze_batch_norm=True)
    with pytest.raises(ValueError, match="no batch norm of the model was trained"):
        kd.train(model, dataset, recipe=recipe, output=tmp_path / "run", classes=TABLE)
    tiny.with_statistics(model)
    kd.train(model, dataset, recipe=recipe, output=tmp_path / "run", classes=TABLE)
