"""Weights to fine-tune from: what may start fresh does and is named, everything else is strict."""

import logging
import re

import keras
import numpy as np
import pytest
from reference import golden_model, state_dict

import keras_deeplab as kd
from keras_deeplab.checkpoints.keras_files import save_keras_weights
from keras_deeplab.checkpoints.loading import init_weights
from keras_deeplab.checkpoints.pytorch.writer import write_torch_checkpoint
from keras_deeplab.checkpoints.state_dict import to_state_dict

KINDS = ("weights.h5", "keras", "pth")
AUXILIARY = ["auxiliary_head.convs.0.conv", "auxiliary_head.convs.0.bn", "auxiliary_head.conv_seg"]


def whole(num_classes=5, aux_head=False):
    """Golden weights as a state dict."""
    return {
        name: array
        for name, array in state_dict(18, num_classes).items()
        if aux_head or not name.startswith("auxiliary_head.")
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A network of 5 classes without auxiliary head, and its backbone alone."""
    folder = tmp_path_factory.mktemp("trained")
    model = golden_model(18, num_classes=5)
    save_keras_weights(model, folder / "whole.weights.h5")
    model.save(folder / "whole.keras")
    write_torch_checkpoint(folder / "whole.pth", whole())
    backbone = {
        name.removeprefix("backbone."): array
        for name, array in whole().items()
        if name.startswith("backbone.")
    }
    write_torch_checkpoint(folder / "backbone.pth", backbone)
    return folder


def assert_only_these_stay(model, before, fresh):
    """The fresh layers have the weights from before, all others those of the golden network."""
    expected = whole()
    for name, array in to_state_dict(model).items():
        kept = name.rpartition(".")[0] in fresh
        np.testing.assert_array_equal(array, before[name] if kept else expected[name], name)


def named(caplog):
    return [record.getMessage() for record in caplog.records if "random" in record.getMessage()]


@pytest.mark.parametrize("kind", KINDS)
def test_classifiers_head_and_first_convolution_start_fresh(files, kind, caplog):
    keras.utils.set_random_seed(0)
    model = kd.build("r18_d16", 7, aux_head=True, input_shape=(None, None, 2))
    before = to_state_dict(model)
    with caplog.at_level(logging.WARNING, "keras_deeplab"):
        fresh = init_weights(model, files / f"whole.{kind}")
    assert sorted(fresh) == sorted(["backbone.stem.0", "decode_head.conv_seg", *AUXILIARY])
    assert_only_these_stay(model, before, fresh)
    assert named(caplog) == [
        "decode_head.conv_seg and backbone.stem.0 and auxiliary_head start from random weights: "
        f"{files / f'whole.{kind}'} has 5 classes, the model 7; 3 input channels, the model 2; "
        "no auxiliary head. Train them."
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_each_part_alone(files, kind, caplog):
    path = files / f"whole.{kind}"
    cases = (
        (5, {}, [], None),
        (7, {}, ["decode_head.conv_seg"], "starts from .* has 5 classes, the model 7. Train it."),
        (5, {"aux_head": True}, AUXILIARY, "auxiliary_head starts .* no auxiliary head. Train it."),
    )
    for classes, options, expected, message in cases:
        caplog.clear()
        model = kd.build("r18_d16", classes, **options)
        before = to_state_dict(model)
        with caplog.at_level(logging.WARNING, "keras_deeplab"):
            fresh = init_weights(model, path)
        assert sorted(fresh) == sorted(expected)
        assert_only_these_stay(model, before, fresh)
        assert len(caplog.records) == (message is not None)
        if message:
            assert re.search(message, named(caplog)[0])


@pytest.mark.parametrize("kind", ["weights.h5", "pth"])
def test_channels_that_cannot_be_adapted(kind, tmp_path, caplog):
    """Four become three or five only with a fresh convolution; three become four by adapting."""
    path = tmp_path / f"four.{kind}"
    four = kd.build("r18_d16", 2, input_shape=(None, None, 4))
    if kind == "pth":
        write_torch_checkpoint(path, to_state_dict(four))
    else:
        save_keras_weights(four, path)
    for channels in (3, 4, 5):
        model = kd.build("r18_d16", 2, input_shape=(None, None, channels))
        caplog.clear()
        fresh = init_weights(model, path)
        assert fresh == ([] if channels == 4 else ["backbone.stem.0"])
        assert [
            f"has 4 input channels, the model {channels}" in text for text in named(caplog)
        ] == ([] if channels == 4 else [True])
        for layer in model.layers:
            for one, other in zip(layer.weights, four.get_layer(layer.name).weights, strict=True):
                if layer.name != "backbone-stem-0":
                    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_three_channels_are_adapted_as_ever(files, kind, caplog):
    model = kd.build("r18_d16", 5, input_shape=(None, None, 4))
    assert init_weights(model, files / f"whole.{kind}") == []
    assert not named(caplog) and "is adapted from the RGB kernels" in caplog.text
    kernel = whole()["backbone.stem.0.weight"].transpose(2, 3, 1, 0) * 0.75
    np.testing.assert_allclose(
        np.asarray(model.get_layer("backbone-stem-0").kernel)[:, :, :3], kernel, rtol=1e-6
    )


def test_a_backbone_leaves_both_heads_fresh(files, caplog):
    model = kd.build("r18_d16", 7, aux_head=True)
    before = to_state_dict(model)
    fresh = init_weights(model, files / "backbone.pth")
    assert set(fresh) == {
        name.rpartition(".")[0] for name in before if not name.startswith("backbone.")
    }
    assert_only_these_stay(model, before, fresh)
    assert len(caplog.records) == 1
    assert "decode_head and auxiliary_head start from random weights" in caplog.text
    assert "has only a backbone. Train them." in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("backbone.stem.1.bias"), r"1 missing: backbone\.stem\.1\.bias"),
        (lambda w: w.pop("decode_head.conv_seg.bias"), r"1 missing: decode_head\.conv_seg\.bias"),
        (lambda w: w.pop("auxiliary_head.convs.0.bn.bias"), r"1 missing: auxiliary_head\.convs"),
        (lambda w: w.update({"neck.weight": np.zeros(3, "float32")}), "1 unexpected: neck.weight"),
        (
            lambda w: w.update({"decode_head.conv_seg.bias": np.zeros(5, "float32")}),
            r"wrong shape: decode_head\.conv_seg\.weight \(6, 128, 1, 1\), expected \(5, 128, 1, 1",
        ),
        (
            lambda w: w.update({"decode_head.conv_seg.weight": np.zeros((6, 64, 1, 1), "f")}),
            r"2 of the wrong shape: decode_head\.conv_seg\.weight \(6, 64, 1, 1\)",
        ),
        (
            lambda w: w.update({"backbone.stem.0.weight": np.zeros((32, 4, 5, 5), "f")}),
            r"wrong shape: backbone\.stem\.0\.weight \(32, 4, 5, 5\)",
        ),
        (
            lambda w: w.update({"backbone.layer2.0.bn1.bias": np.full(128, np.nan, "f")}),
            r"layer2\.0\.bn1\.bias",
        ),
    ],
)
def test_everything_else_is_strict_and_nothing_changes(change, message, tmp_path):
    weights = whole(num_classes=6, aux_head=True)
    change(weights)
    write_torch_checkpoint(tmp_path / "changed.pth", weights)
    model = kd.build("r18_d16", 5, aux_head=True)
    before = model.get_weights()
    with pytest.raises(kd.CheckpointError, match=rf"changed\.pth: .*{message}"):
        init_weights(model, tmp_path / "changed.pth")
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("kind", KINDS)
def test_another_depth_is_refused_and_loading_stays_strict(files, kind):
    with pytest.raises(kd.CheckpointError, match="missing"):
        init_weights(kd.build("r50_d16", 5), files / f"whole.{kind}")
    with pytest.raises(kd.CheckpointError, match="of the wrong shape: decode_head"):
        kd.load_weights(kd.build("r18_d16", 7), files / f"whole.{kind}")
    with pytest.raises(kd.CheckpointError, match="7 missing: auxiliary_head"):
        kd.load_weights(kd.build("r18_d16", 5, aux_head=True), files / f"whole.{kind}")
