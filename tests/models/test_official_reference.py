"""The networks equal DeepLab's TensorFlow code: logits and intermediate features at 1e-4."""

import keras
import numpy as np
import pytest
from reference import TOLERANCE, golden_tf, golden_variables, narrow_network, read

import keras_deeplab as kd

# Case -> variant. The cases of Xception-65 take ten seconds each.
FAST = {
    "mnv2_plain_os16_c21_1x129x129": "mnv2_d16_plain",
    "mnv2_plain_os8_c21_1x65x97": "mnv2_d8_plain",
    "mnv2_decoder_os16_c151_1x65x97": "mnv2_d16_decoder",
    "mnv2_v3plus_os16_c21_1x128x128": "mnv2_d16",
    "xception65_os16_c21_1x65x97": "x65_d16",
}
SLOW = {
    "mnv2_v3plus_os8_c21_1x161x225": "mnv2_d8",
    "xception65_os16_c19_1x128x128": "x65_d16",
    "xception65_os8_c21_1x129x129": "x65_d8",
}
HEAD = {
    "image_pooling": "image_pool-1-activate",
    "aspp0": "aspp_modules-0-activate",
    **{
        f"aspp{branch}_{kind}": f"aspp_modules-{branch}-{kind}_conv-activate"
        for branch in (1, 2, 3)
        for kind in ("depthwise", "pointwise")
    },
    "concat_projection": "bottleneck-activate",
    "decoder/feature_projection0": "c1_bottleneck-activate",
    "decoder/concat": "concat",
    **{
        f"decoder/decoder_conv{index}_{kind}": f"sep_bottleneck-{index}-{kind}_conv-activate"
        for index in (0, 1)
        for kind in ("depthwise", "pointwise")
    },
}


def feature_layer(model, feature):
    """The layer that computes a feature of the fixtures."""
    if feature in HEAD:
        return model.get_layer(f"decode_head-{HEAD[feature]}")
    path = feature.partition(" (")[0]
    find = mobilenet_layer if path.startswith("layer_") else xception_layer
    return model.get_layer(f"backbone-{find(path, {layer.name for layer in model.layers})}")


def mobilenet_layer(path, names):
    layer, _, part = path.partition("/")
    number = int(layer.removeprefix("layer_")) - 2  # -1 is the first convolution
    if number < 0:
        return "Conv-relu6"
    block = f"expanded_conv_{number}" if number else "expanded_conv"
    parts = {"expansion_output": "expand-relu6", "depthwise_output": "depthwise-relu6"}
    if part:
        return f"{block}-{parts[part]}"
    added = f"{block}-add"
    return added if f"backbone-{added}" in names else f"{block}-project-BatchNorm"


def xception_layer(path, names):
    flow, block, *rest = path.split("/")
    if block.startswith("conv"):
        return f"{flow}-{block}-relu"
    unit, part = (rest[0], "") if flow == "middle_flow" else ("unit_1", "".join(rest))
    name = f"{flow}-{block}-{unit}-xception_module"
    if (flow, block) == ("exit_flow", "block2"):
        return f"{name}-{part or 'separable_conv3_pointwise'}-relu"
    return f"{name}-{part}-BatchNorm" if part else f"{name}-add"


@pytest.fixture(
    scope="module", params=[*FAST, *(pytest.param(x, marks=pytest.mark.slow) for x in SLOW)]
)
def computed(request):
    """A case, and what the network makes of its picture."""
    return compute(request.param, (FAST | SLOW)[request.param])


def compute(name, variant):
    case = read(f"official/models/{name}.json")
    model = kd.build(variant, case["flags"]["num_classes"])
    kd.load_state_dict(model, golden_variables(case["variables"]))
    wanted = {feature: feature_layer(model, feature).output for feature in case["features"]}
    wanted["logits"] = model.get_layer("decode_head-conv_seg").output
    wanted["logits_resized_to_input"] = model.output
    picture = golden_tf.make_picture(name, *case["logits_resized_to_input"]["shape_nhwc"][:3])
    values = keras.Model(model.input, wanted)(picture, training=False)
    return case, {key: np.asarray(value) for key, value in values.items()}


def check_features(case, values):
    assert len(case["features"]) >= 16
    for feature, expected in case["features"].items():
        value = values[feature]
        assert list(value.shape) == expected["shape_nhwc"], feature
        found = value[tuple(np.array(expected["positions_nyxc"]).T)]
        np.testing.assert_allclose(
            found, expected["values"], rtol=0, atol=TOLERANCE, err_msg=feature
        )
        assert abs(value.mean() - expected["mean"]) < TOLERANCE, feature
        assert abs(value.std() - expected["std"]) < TOLERANCE, feature


def check_logits(expected, value):
    assert list(value.shape) == expected["shape_nhwc"]
    found = value[tuple(np.array(expected["positions_nyx"]).T)]
    np.testing.assert_allclose(found, expected["values"], rtol=0, atol=TOLERANCE)
    every = value.reshape(-1, value.shape[-1])
    np.testing.assert_allclose(every.mean(0), expected["class_mean"], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(every.std(0), expected["class_std"], rtol=0, atol=TOLERANCE)
    if "argmax_histogram" in expected:
        histogram = np.bincount(every.argmax(-1), minlength=value.shape[-1])
        moved = np.abs(histogram - expected["argmax_histogram"]).sum()
        assert moved <= 2 * expected["pixels_with_margin_below_1e-4"]


def test_features(computed):
    check_features(*computed)


@pytest.mark.parametrize("key", ["logits", "logits_resized_to_input"])
def test_logits(computed, key):
    """At the size of the head or decoder, and at that of the image."""
    case, values = computed
    check_logits(case[key], values[key])


def test_half_the_channels():
    """The published rounding of channels, with a backbone that the table does not name."""
    with narrow_network(width=0.5, aspp_channels=256, output_stride=16):
        case, values = compute("mnv2_dm05_os16_c21_1x129x129", "narrow")
    check_features(case, values)
    check_logits(case["logits"], values["logits"])


@pytest.mark.slow
def test_several_scales_are_close():
    """`predict` resizes images without aligned corners: not equal, but with the same classes."""
    case = read("official/tta/tta_mnv2_plain_os16_c21_1x65x97.json")
    model = kd.build("mnv2_d16_plain", 21)
    kd.load_state_dict(model, golden_variables(case["variables"]))
    (picture,) = golden_tf.make_picture(case["case"], 1, 65, 97)
    found = kd.predict(model, picture, scales=case["eval_scales"], flip=case["add_flipped_images"])
    _, y, x = np.array(case["positions_nyx"]).T
    np.testing.assert_allclose(found[y, x], case["mean_probabilities"], rtol=0, atol=0.01)
    histogram = np.bincount(found.argmax(-1).ravel(), minlength=21)
    np.testing.assert_array_equal(histogram, case["argmax_histogram"])
