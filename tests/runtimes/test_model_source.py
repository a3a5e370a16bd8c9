"""What can be compiled: zoo names, run folders, `.keras` files and Keras models."""

import dataclasses
import json
import os
import pathlib
import zipfile

import keras
import numpy as np
import pytest
from reference import TOLERANCE
from runtimes.runtime_cases import FILES, IMAGES, NAMES, write_run
from tiny import tiny_model

import keras_deeplab as kd
from keras_deeplab._internal.files import file_sha256, write_json
from keras_deeplab._internal.resources import zoo_dir
from keras_deeplab.checkpoints.errors import CheckpointError
from keras_deeplab.runtimes import source
from keras_deeplab.runtimes.source import find_source
from keras_deeplab.zoo import manifest

CHECK_IMAGE = IMAGES[0]


@pytest.fixture
def run(tmp_path):
    """A run folder and its model."""
    return tmp_path / "run", write_run(tmp_path / "run", check_image=CHECK_IMAGE)


@pytest.fixture
def zoo_name(run, tmp_path, monkeypatch):
    """Name of an entry of the zoo with the weights of the run."""
    folder, model = run
    weights = folder / "best.weights.h5"
    entry = {
        **model.metadata.to_json(),
        "status": "bundled",
        "weights": {"file": weights.name, "sha256": file_sha256(weights), "licence": None},
    }
    write_json(folder / "manifest.json", {"models": {"r18_tiny": entry}})
    zoo = manifest.Zoo(folder)
    monkeypatch.setattr(manifest, "default_zoo", lambda: zoo)
    return "r18_tiny"


@pytest.mark.parametrize("runtime", NAMES)
def test_the_same_logits_from_every_source(run, zoo_name, tmp_path, runtime, tiny_networks):
    folder, model = run
    model.save(tmp_path / "model.keras")
    expected = model(IMAGES.astype("float32"), training=False)
    for each in (folder, str(folder), zoo_name, tmp_path / "model.keras", model):
        predictor = kd.compile_for_inference(each, runtime, "float32")
        np.testing.assert_allclose(predictor(IMAGES), expected, rtol=0, atol=TOLERANCE)
        assert predictor.metadata.classes == model.metadata.classes
    named = kd.compile_for_inference(zoo_name, runtime, "float32")
    assert named.network.name == zoo_name
    assert named.weights_sha256() == file_sha256(folder / "best.weights.h5")


# --- The key: what shares a converted model ---


def test_the_same_weights_share_a_key(run, zoo_name, tmp_path):
    folder, model = run
    assert find_source(folder).key == find_source(str(folder)).key == find_source(zoo_name).key
    model.save(tmp_path / "model.keras")
    assert find_source(tmp_path / "model.keras").key == find_source(model).key


def test_what_changes_the_key(run, tmp_path, monkeypatch):
    folder, model = run
    keys = [find_source(folder).key, find_source(model).key]
    write_run(tmp_path / "other", classes=4)
    keys += [find_source(tmp_path / "other").key]
    model.set_weights([weight + 1e-6 for weight in model.get_weights()])
    keys += [find_source(model).key]
    model.save_weights(folder / "best.weights.h5")
    keys += [find_source(folder).key]
    record = json.loads((folder / "run.json").read_text())
    write_json(folder / "run.json", {**record, "output_stride": 16})
    keys += [find_source(folder).key]
    monkeypatch.setattr(source, "__version__", "99")
    keys += [find_source(folder).key, find_source(model).key]
    assert len(set(keys)) == len(keys)


def with_layer(model, layer):
    return keras.Model(model.input, layer(model.output))


def test_layers_of_other_packages_share_no_key():
    """Their code may change; their configuration would not show it."""

    @keras.saving.register_keras_serializable("tests")
    class Doubled(keras.layers.Layer):
        def call(self, inputs):
            return inputs * 2

    model = tiny_model()
    doubled = with_layer(model, Doubled())
    found = find_source(doubled)
    assert found.key == found.key
    assert found.key != find_source(doubled).key
    of_keras = with_layer(model, keras.layers.Rescaling(2.0))
    assert find_source(of_keras).key == find_source(of_keras).key
    predictor = kd.compile_for_inference(doubled, "openvino", "float32")
    expected = 2 * np.asarray(model(IMAGES.astype("float32"), training=False))
    np.testing.assert_allclose(predictor(IMAGES), expected, rtol=0, atol=TOLERANCE)


def test_layer_that_cannot_be_copied():
    def unknown(logits):
        return logits

    model = tiny_model()
    for layer, reason in (
        (keras.layers.Activation(unknown, name="mine"), "Could not locate function 'unknown'"),
        (keras.layers.Lambda(lambda logits: logits * 2, name="mine"), "a Python lambda"),
    ):
        with pytest.raises(ValueError, match=f"(?s)Layer 'mine' cannot be copied: .*{reason}"):
            find_source(with_layer(model, layer))


def test_training_options_do_not_change_the_key(tmp_path):
    def mean(labels, logits):
        return keras.ops.mean(logits)

    model = tiny_model()
    key = find_source(model).key
    model.compile("sgd", loss=mean)
    model.save(tmp_path / "model.keras")  # whose loss is unknown where it is read
    assert find_source(model).key == key
    assert find_source(tmp_path / "model.keras").key == key


def test_the_dtype_policy_does_not_change_the_key():
    """A model is converted in float32 from the same weights."""
    mixed = kd.build("r18_d16", 2, dtype="mixed_bfloat16")
    plain = kd.build("r18_d16", 2)
    plain.set_weights(mixed.get_weights())
    assert find_source(mixed).key == find_source(plain).key


def test_the_metadata_changes_the_key(run):
    """Converted files hold it."""
    _, model = run
    key = find_source(model).key
    model.metadata = dataclasses.replace(model.metadata, value_range=(0.0, 4095.0))
    assert find_source(model).key != key


def test_the_weights_of_now():
    model = tiny_model()
    found = find_source(model)
    key = find_source(model).key
    before = model.get_weights()
    model.set_weights([weight * 0 for weight in before])
    assert found.key == key  # though it is computed only now
    for ours, theirs in zip(found.float32_model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("runtime", FILES)
def test_a_run_whose_training_goes_on(run, cache, runtime, tiny_networks):
    """Its new weights are not kept under the key of the old ones."""
    folder, model = run
    predictor = kd.compile_for_inference(folder, runtime, "float32")
    model.set_weights([weight + 1 for weight in model.get_weights()])
    model.save_weights(folder / "best.weights.h5")
    with pytest.raises(ValueError, match=f"The weights in {folder} changed since it was compiled"):
        predictor(IMAGES)
    assert not [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert kd.compile_for_inference(folder, runtime, "float32")(IMAGES).shape[-1] == 3


# --- Check images ---


def test_check_image_of_the_zoo():
    found = find_source("r18_dubai").check_image
    assert found == zoo_dir() / "examples/r18_dubai.jpg"
    assert file_sha256(found) == kd.info("r18_dubai")["example"]["sha256"]
    assert find_source("r18_potsdam").check_image is None


def test_missing_example_of_the_zoo(zoo_name, run):
    """As where only the manifest and the weights were copied."""
    folder, _ = run
    manifest_file = folder / "manifest.json"
    record = json.loads(manifest_file.read_text())
    record["models"][zoo_name]["example"] = {"file": "examples/r18_tiny.jpg"}
    write_json(manifest_file, record)
    assert find_source(zoo_name).check_image is None


def test_check_image_of_a_run(run):
    folder, model = run
    assert find_source(folder).check_image == folder / "check_image.tif"
    (folder / "check_image.tif").unlink()
    assert find_source(folder).check_image is None
    assert find_source(model).check_image is None


# --- What cannot be compiled ---


@pytest.mark.parametrize("model", [5, None, ["r18_dubai"], np.zeros(3), b"r18_dubai", len])
def test_not_a_model(model):
    with pytest.raises(ValueError, match="Expected a Keras model, a zoo name, a run folder or a"):
        find_source(model)


def test_unknown_name():
    with pytest.raises(ValueError, match=r"'r18_dubay'.*'r18_dubai'"):
        find_source("r18_dubay")
    with pytest.raises(ValueError, match="Unknown zoo model 'runs/no_such_folder'"):
        find_source(pathlib.Path("runs/no_such_folder"))


def test_folder_that_is_not_a_run(tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path} is not a training run folder"):
        find_source(tmp_path)


def test_run_without_weights(run):
    folder, _ = run
    (folder / "best.weights.h5").unlink()
    with pytest.raises(ValueError, match="holds no weights yet"):
        kd.compile_for_inference(folder, "keras", "float32")


@pytest.mark.parametrize("runtime", NAMES)
def test_weights_that_are_not_public(runtime):
    name = next(each for each in kd.list_models() if kd.info(each)["status"] == "not_public")
    with pytest.raises(CheckpointError, match=f"{name}: The source publishes no checkpoint"):
        kd.compile_for_inference(name, runtime, "float32", tile=64)


def test_model_with_an_activation():
    model = kd.build("r18_d16", 2, activation="softmax")
    with pytest.raises(ValueError, match=r"ends in an activation.*activation=None"):
        find_source(model)


def test_model_of_another_package(tmp_path):
    image = keras.Input((32, 32, 3))
    model = keras.Model(image, keras.layers.Conv2D(2, 1)(image), name="other")
    model.save(tmp_path / "other.keras")
    for each in (model, tmp_path / "other.keras", keras.Sequential(name="other")):
        with pytest.raises(ValueError, match="'other' is not a model of keras_deeplab"):
            find_source(each)


def test_damaged_keras_file(tmp_path):
    path = tmp_path / "model.keras"
    with pytest.raises(ValueError, match=f"{path} does not exist"):
        find_source(path)
    tiny_model().save(path)
    content = path.read_bytes()
    for damaged in (b"", b"garbage" * 100, content[: len(content) // 2], content[:-100]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"{path} cannot be read as a Keras model"):
            find_source(path)
    for name, text in (("readme.txt", ""), ("config.json", "{}"), ("config.json", "garbage")):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, text)
        with pytest.raises(ValueError, match=f"{path} cannot be read as a Keras model"):
            find_source(path)


def test_keras_file_with_damaged_weights(tmp_path):
    path = tmp_path / "model.keras"
    tiny_model().save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255  # in the weights, the largest part of the archive
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{path} cannot be read as a Keras model"):
        find_source(path)


def test_a_path_like_object(run, tmp_path):
    folder, model = run
    model.save(tmp_path / "model.keras")

    class Path(os.PathLike):
        def __init__(self, path):
            self.path = path

        def __fspath__(self):
            return str(self.path)

    assert find_source(Path(folder)).key == find_source(folder).key
    assert find_source(Path("r18_dubai")).network.name == "r18_dubai"
    assert find_source(Path(tmp_path / "model.keras")).network.classes == 3
