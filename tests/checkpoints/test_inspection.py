"""What files say about their networks; each file is made with what it should say."""

import json
import zipfile

import h5py
import keras
import numpy as np
import pytest
from reference import state_dict

import keras_deeplab as kd
from keras_deeplab.checkpoints.inspection import WeightsInfo, build_for, describe_weights
from keras_deeplab.checkpoints.keras_files import save_keras_weights
from keras_deeplab.checkpoints.pytorch.writer import write_torch_checkpoint


@pytest.fixture(scope="module")
def model():
    return kd.build("r18_d16", 3, aux_head=True, input_shape=(None, None, 5))


def test_keras_files(model, tmp_path):
    save_keras_weights(model, tmp_path / "w.weights.h5")
    model.save(tmp_path / "w.keras")
    assert describe_weights(tmp_path / "w.weights.h5") == WeightsInfo(3, 5, True, "resnet18_v1c")
    assert describe_weights(tmp_path / "w.keras") == WeightsInfo(
        3, 5, True, "resnet18_v1c", "r18_d16"
    )
    built = build_for(tmp_path / "w.keras", "r18_d8")
    for one, two in zip(built.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("depth", [18, 50, 101])
def test_depths(depth, tmp_path):
    """The reference's names and shapes; a backbone alone has no classes."""
    weights = {
        name: np.zeros(array.shape, "float16")
        for name, array in state_dict(depth, 6).items()
        if not name.startswith("auxiliary_head.")
    }
    write_torch_checkpoint(tmp_path / "w.pth", weights)
    assert describe_weights(tmp_path / "w.pth") == WeightsInfo(6, 3, False, f"resnet{depth}_v1c")
    backbone = {f"model.{name}": x for name, x in weights.items() if name.startswith("backbone.")}
    write_torch_checkpoint(tmp_path / "b.pth", backbone)
    assert describe_weights(tmp_path / "b.pth") == WeightsInfo(None, 3, False, f"resnet{depth}_v1c")
    with pytest.raises(kd.CheckpointError, match=r"b\.pth is not a whole DeepLabV3\+"):
        build_for(tmp_path / "b.pth", "r18_d8")
    other = {18: "r50_d8", 50: "r101_d8", 101: "r18_d8"}[depth]
    with pytest.raises(kd.CheckpointError, match=rf"contains ResNet-{depth}, variant {other} has"):
        build_for(tmp_path / "w.pth", other)


def test_other_backbones_are_none(tmp_path):
    weights = {n: x for n, x in state_dict(18).items() if not n.startswith("backbone.layer3.1.")}
    write_torch_checkpoint(tmp_path / "w.pth", weights)
    assert describe_weights(tmp_path / "w.pth").backbone is None


def test_files_of_other_networks(tmp_path):
    other = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3, name="first")])
    other.save(tmp_path / "other.keras")
    other.save_weights(tmp_path / "other.weights.h5")
    write_torch_checkpoint(
        tmp_path / "other.pth", {"features.0.weight": np.zeros((8, 3, 3, 3), "float32")}
    )
    kernel = np.zeros((8, 3, 3, 3), "float32")
    two = {f"{name}.backbone.stem.0.weight": kernel for name in ("teacher", "student")}
    write_torch_checkpoint(tmp_path / "two.pth", two)
    with h5py.File(tmp_path / "keras2.weights.h5", "w") as file:
        file.attrs["layer_names"] = ["conv2d"]
    for name, message in (
        (
            "other.keras",
            "none of the layers backbone.stem.0, backbone._conv_stem, .*, but only first.$",
        ),
        ("other.weights.h5", "none of the layers backbone.stem.0, .*, but only first"),
        ("other.pth", "none of the layers backbone.stem.0, .*, but only .*features.0"),
        ("two.pth", "start with 'student.backbone.' and 'teacher.backbone.'"),
        ("keras2.weights.h5", "not a weights file of Keras 3"),
        ("none.keras", "does not exist"),
        ("none.h5", "unknown weights file format"),
    ):
        with pytest.raises(kd.CheckpointError, match=f"{name}.* {message}"):
            describe_weights(tmp_path / name)


def edited(path, target, config):
    """A copy of a .keras file with another config.json."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as copy:
        for name in source.namelist():
            if name != "config.json":
                copy.writestr(name, source.read(name))
            elif config is not None:
                copy.writestr(name, config)
    return target


def test_the_configuration_is_json_and_nothing_more(model, tmp_path):
    """Its name counts if it is a variant of the depth of the weights; no class is looked up."""
    model.save(tmp_path / "w.keras")
    for name, variant in (
        ("r18_d8", "r18_d8"),
        ("r50_d8", None),
        ("mine", None),
        (["r18_d8"], None),
    ):
        config = {"module": "os", "class_name": "system", "config": {"name": name}}
        path = edited(tmp_path / "w.keras", tmp_path / "edited.keras", json.dumps(config))
        assert describe_weights(path).variant == variant
    for bad in (
        None,
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"config": 1}',
        json.dumps(config) + " " * 2**24,
    ):
        path = edited(tmp_path / "w.keras", tmp_path / "edited.keras", bad)
        with pytest.raises(kd.CheckpointError, match=r"edited\.keras: config\.json"):
            describe_weights(path)
