import numpy as np
import pytest
from reference import state_dict

import keras_deeplab as kd


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
