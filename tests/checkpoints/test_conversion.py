"""From the reference's names to Keras and back, through files."""

import json
import logging

import numpy as np
import pytest
from in_process import run
from reference import golden, golden_model, read, state_dict

import keras_deeplab as kd
from keras_deeplab.checkpoints.parity import stage_outputs
from keras_deeplab.checkpoints.pytorch.writer import write_torch_checkpoint
from keras_deeplab.checkpoints.state_dict import to_state_dict

IMAGE = golden.make_input("conversion", 1, 64, 64)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A whole r18 checkpoint with golden weights, and its backbone as the ImageNet files are."""
    folder = tmp_path_factory.mktemp("pth")
    weights = state_dict(18)
    write_torch_checkpoint(folder / "whole.pth", weights, {"CLASSES": ["a", "b"]})
    backbone = {
        name.removeprefix("backbone."): array
        for name, array in weights.items()
        if name.startswith("backbone.")
    }
    backbone |= {"fc.weight": np.ones((10, 512), "float32"), "fc.bias": np.ones(10, "float32")}
    write_torch_checkpoint(folder / "imagenet.pth", backbone)
    return folder


@pytest.fixture(scope="module")
def trained():
    """The network of the whole checkpoint, not loaded from a file."""
    return golden_model(18, aux_head=True, include_preprocessing=False)


def assert_same_weights(model, expected, prefix=""):
    """Of all layers whose names begin so."""
    layers = [layer for layer in model.layers if layer.weights and layer.name.startswith(prefix)]
    assert len(layers) > 20
    for layer in layers:
        others = expected.get_layer(layer.name).get_weights()
        for one, two in zip(layer.get_weights(), others, strict=True):
            np.testing.assert_array_equal(one, two)


def test_the_keys_written_are_the_references(trained):
    expected = read("state_dict_r18_potsdam.json")["keys"]
    written = to_state_dict(trained)
    assert written.keys() == expected.keys()
    for name, array in written.items():
        assert list(array.shape) == expected[name]["shape"]
        assert str(array.dtype) == expected[name]["dtype"]


def test_round_trip_is_exact(trained, tmp_path):
    weights = state_dict(18)
    write_torch_checkpoint(tmp_path / "again.pth", to_state_dict(trained))
    again = kd.read_torch_checkpoint(tmp_path / "again.pth").state_dict
    assert again.keys() == weights.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(again[name], array)


def test_metadata_and_equal_bytes(files, tmp_path):
    assert kd.read_torch_checkpoint(files / "whole.pth").meta["CLASSES"] == ["a", "b"]
    for name in ("one.pth", "two.pth"):
        write_torch_checkpoint(tmp_path / name, {"x": np.arange(3, dtype="float32")})
    assert (tmp_path / "one.pth").read_bytes() == (tmp_path / "two.pth").read_bytes()
    with pytest.raises(kd.CheckpointError, match="x is complex128"):
        write_torch_checkpoint(tmp_path / "bad.pth", {"x": np.zeros(2, complex)})
    assert not (tmp_path / "bad.pth").exists()


@pytest.mark.parametrize("aux_head", [False, True])
def test_a_whole_checkpoint_loads(files, trained, aux_head):
    model = kd.build("r18_d8", 6, aux_head=aux_head, weights=files / "whole.pth")
    assert_same_weights(model, trained)


def test_a_backbone_loads_and_says_so(files, trained, caplog):
    model = kd.build("r18_d8", 4)
    head = np.asarray(model.get_layer("decode_head-bottleneck-conv").kernel)
    with caplog.at_level(logging.WARNING, "keras_deeplab"):
        kd.load_weights(model, files / "imagenet.pth")
    assert "only a backbone: the heads keep their weights" in caplog.text
    np.testing.assert_array_equal(model.get_layer("decode_head-bottleneck-conv").kernel, head)
    assert_same_weights(model, trained, "backbone-")


def test_the_wrong_network_is_named(files):
    model = kd.build("r50_d8", 6)
    with pytest.raises(kd.CheckpointError, match=r"whole\.pth: .* missing: .*of the wrong shape"):
        kd.load_weights(model, files / "whole.pth")
    with pytest.raises(kd.CheckpointError, match=r"imagenet\.pth: .*does not match|do not match"):
        kd.load_weights(model, files / "imagenet.pth")


@pytest.mark.parametrize("channels", [1, 4, 5])
def test_other_channels_adapt_the_first_convolution(files, trained, tmp_path, channels, caplog):
    """An image of equal channels gives what it gave with three; RGB kernels keep their ratio."""
    trained.save_weights(tmp_path / "trained.weights.h5")
    gray = IMAGE[..., :1]
    expected = trained(gray.repeat(3, -1), training=False)["logits"]
    old = np.asarray(trained.get_layer("backbone-stem-0").kernel)
    options = {"input_shape": (None, None, channels), "include_preprocessing": False}
    model = kd.build("r18_d8", 6, **options)
    fresh = model.get_weights()
    for path in (files / "whole.pth", tmp_path / "trained.weights.h5"):
        model.set_weights(fresh)
        with caplog.at_level(logging.WARNING, "keras_deeplab"):
            kd.load_weights(model, path)
        assert f"{channels} input channels instead of 3" in caplog.text
        caplog.clear()
        found = model(gray.repeat(channels, -1), training=False)
        np.testing.assert_allclose(found, expected, atol=1e-4)
        if channels > 3:
            new = np.asarray(model.get_layer("backbone-stem-0").kernel)
            np.testing.assert_allclose(new[:, :, :3], old * 3 / channels, rtol=1e-6)


def test_two_channels_are_refused(files):
    with pytest.raises(kd.CheckpointError, match="of the wrong shape"):
        kd.build(
            "r18_d8",
            6,
            input_shape=(None, None, 2),
            include_preprocessing=False,
            weights=files / "whole.pth",
        )


def test_the_command_converts_both_ways_and_reports(files, trained, tmp_path):
    values = stage_outputs(trained, IMAGE)
    np.savez(tmp_path / "values.npz", input=IMAGE, **values)
    h5, report = tmp_path / "x.weights.h5", tmp_path / "parity.json"
    run(
        *("convert", files / "whole.pth", "--variant", "r18_d8", "--output", h5, "--parity"),
        *("--reference", tmp_path / "values.npz", "--report", report),
    )
    stages = {row["stage"]: row for row in json.loads(report.read_text())["stages"]}
    assert len(stages) == 18 and stages.keys() == values.keys()
    assert all(row["max_difference"] < 1e-4 for row in stages.values())
    assert stages["logits"]["argmax_agreement"] == 1.0
    # A dilation of the other output stride shows where it begins and nowhere before.
    result = run(
        *("convert", files / "whole.pth", "--variant", "r18_d16", "--parity"),
        *("--reference", tmp_path / "values.npz"),
        check=False,
    )
    assert result.exit_code == 1 and "Shape of stage layer3" in result.output
    run("convert", h5, "--variant", "r18_d8", "--to-torch", "--output", tmp_path / "back.pth")
    back = kd.read_torch_checkpoint(tmp_path / "back.pth").state_dict
    for name, array in state_dict(18).items():
        np.testing.assert_array_equal(back[name], array)
    arguments = ("convert", files / "imagenet.pth", "--variant", "r18_d8", "--output", h5)
    failed = run(*arguments, check=False)
    assert failed.exit_code == 1 and "not a whole DeepLabV3+" in failed.output
