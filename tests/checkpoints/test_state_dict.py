import logging

import numpy as np
import pytest
from reference import state_dict

import keras_deeplab as kd
from keras_deeplab.checkpoints.pytorch.writer import write_torch_checkpoint
from keras_deeplab.checkpoints.state_dict import to_state_dict


@pytest.fixture(scope="module")
def model():
    return kd.build("r18_d16", 6)


def test_every_reference_key_lands_transposed():
    model = kd.build("r18_d16", 6, aux_head=True)
    weights = state_dict(18)
    kd.load_state_dict(model, weights)
    kernel = weights["backbone.layer1.0.conv1.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(model.get_layer("backbone-layer1-0-conv1").kernel, kernel)
    name = "decode_head.aspp_modules.2.depthwise_conv.conv"
    depthwise = weights[f"{name}.weight"].transpose(2, 3, 0, 1)
    np.testing.assert_array_equal(model.get_layer(name.replace(".", "-")).kernel, depthwise)
    norm = model.get_layer("auxiliary_head-convs-0-bn")
    for attribute, suffix in (("gamma", "weight"), ("moving_variance", "running_var")):
        expected = weights[f"auxiliary_head.convs.0.bn.{suffix}"]
        np.testing.assert_array_equal(getattr(norm, attribute), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("backbone.stem.0.weight"), r"1 missing: backbone\.stem\.0\.weight"),
        (lambda w: w.update({"neck.weight": np.zeros(3)}), "1 unexpected: neck.weight"),
        (
            lambda w: w.update({"decode_head.conv_seg.bias": np.zeros(7, "float32")}),
            r"wrong shape: decode_head\.conv_seg\.bias \(7,\), expected \(6,\)",
        ),
        (
            lambda w: w.update({"decode_head.conv_seg.weight": np.zeros(6, "float32")}),
            r"expected \(6, 128, 1, 1\)",
        ),
    ],
)
def test_a_mismatch_is_named_and_nothing_changes(model, change, message):
    weights = state_dict(18)
    kd.load_state_dict(model, weights)
    before = [np.asarray(w) for w in model.weights]
    weights["backbone.stem.1.weight"] = weights["backbone.stem.1.weight"] + 1
    change(weights)
    with pytest.raises(kd.CheckpointError, match=message):
        kd.load_state_dict(model, weights)
    for old, new in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_weights_that_are_not_finite_are_refused(model, value):
    weights = state_dict(18)
    kd.load_state_dict(model, weights)
    before = [np.asarray(w) for w in model.weights]
    weights["backbone.stem.0.weight"] = weights["backbone.stem.0.weight"] + 1
    for name in ("backbone.stem.4.running_var", "decode_head.conv_seg.weight"):
        weights[name] = weights[name].copy()
        weights[name].flat[-1] = value
    message = (
        r"NaN or infinity in 2 of \d+ arrays: backbone\.stem\.4\.running_var, "
        r"decode_head\.conv_seg\.weight\."
    )
    with pytest.raises(kd.CheckpointError, match=message):
        kd.load_state_dict(model, weights)
    for old, new in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, new)


def test_numbers_beyond_float32_are_infinite(model):
    weights = state_dict(18)
    weights["backbone.stem.1.bias"] = weights["backbone.stem.1.bias"].astype("float64") * 1e200
    with pytest.raises(kd.CheckpointError, match=r"NaN or infinity in 1 of .*stem"):
        kd.load_state_dict(model, weights)


PREFIXES = ("module.", "_orig_mod.", "model.", "model.module.", "net.", "module._orig_mod.student.")


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("part", ["", "backbone."])
def test_a_prefix_of_all_names_is_removed(model, prefix, part, tmp_path):
    """From a file, of a whole network and of a backbone; `load_state_dict` takes it, too."""
    state = state_dict(18)
    weights = {
        f"{prefix}{name.removeprefix(part)}": array
        for name, array in state.items()
        if name.startswith(part)
    }
    if part:  # classifiers of ImageNet: of the published files, of mmpretrain
        weights |= {f"{prefix}{name}.bias": np.ones(9, "float32") for name in ("fc", "head.fc")}
    write_torch_checkpoint(tmp_path / "wrapped.pth", weights)
    model.set_weights([np.zeros(weight.shape) for weight in model.weights])
    kd.load_weights(model, tmp_path / "wrapped.pth")
    for name, array in to_state_dict(model).items():
        np.testing.assert_array_equal(array, state[name] if name.startswith(part) else 0 * array)
    if not part:
        kd.load_state_dict(model, weights)


def test_errors_show_the_names_in_the_file(model):
    weights = {f"model.{name}": array for name, array in state_dict(18).items()}
    weights["criterion.weight"] = np.zeros(6, "float32")
    weights["model.backbone.stem.x"] = weights.pop("model.backbone.stem.0.weight")
    message = (
        r"1 missing: model\.backbone\.stem\.0\.weight; "
        r"2 unexpected: criterion\.weight, model\.backbone\.stem\.x\.$"
    )
    with pytest.raises(kd.CheckpointError, match=message):
        kd.load_state_dict(model, weights)


def test_two_networks_in_one_file_are_refused(model):
    weights = state_dict(18)
    both = {f"{part}.{name}": array for name, array in weights.items() for part in ("net", "ema")}
    with pytest.raises(kd.CheckpointError, match=r"start with 'ema\.' and 'net\.'"):
        kd.load_state_dict(model, both)


@pytest.mark.parametrize("prefix", ["", "model."])
def test_the_copies_of_mmcv_are_ignored_and_named(model, prefix, caplog):
    weights = {f"{prefix}{name}": array for name, array in state_dict(18).items()}
    copies = {
        f"{prefix}ema_{name.replace('.', '_')}": array + 1 for name, array in state_dict(18).items()
    }
    with caplog.at_level(logging.WARNING, "keras_deeplab"):
        kd.load_state_dict(model, {**copies, **weights})
    assert f"{len(copies)} buffers such as {prefix}ema_auxiliary_head_" in caplog.text
    kernel = state_dict(18)["decode_head.conv_seg.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(model.get_layer("decode_head-conv_seg").kernel, kernel)
    with pytest.raises(kd.CheckpointError, match="1 unexpected: ema_of_something_else"):
        kd.load_state_dict(model, {**weights, "ema_of_something_else": np.zeros(1, "float32")})


def test_only_the_auxiliary_head_and_counters_are_left_aside(model):
    weights = state_dict(18)
    assert any(name.startswith("auxiliary_head.") for name in weights)
    assert any(name.endswith("num_batches_tracked") for name in weights)
    kd.load_state_dict(model, weights)
    for name in list(weights):
        if name.startswith("auxiliary_head."):
            del weights[name]
    with pytest.raises(kd.CheckpointError, match=r"missing: auxiliary_head\.convs\.0"):
        kd.load_state_dict(kd.build("r18_d16", 6, aux_head=True), weights)
