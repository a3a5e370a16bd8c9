"""The networks equal the PyTorch reference: logits and every intermediate feature at 1e-4."""

import keras
import numpy as np
import pytest
from reference import REFERENCE, TOLERANCE, golden, read, state_dict

import keras_deeplab as kd

CASES = sorted(path.stem for path in (REFERENCE / "models").glob("*.json"))
FEATURES = {
    "stem": "backbone-stem-8",
    "maxpool": "backbone-maxpool",
    "aspp_image_pool": "decode_head-image_pool-1-activate",
    "aspp_0": "decode_head-aspp_modules-0-activate",
    **{f"aspp_{i}": f"decode_head-aspp_modules-{i}-pointwise_conv-activate" for i in (1, 2, 3)},
    "aspp_bottleneck": "decode_head-bottleneck-activate",
    "c1_bottleneck": "decode_head-c1_bottleneck-activate",
    "sep_bottleneck_0": "decode_head-sep_bottleneck-0-pointwise_conv-activate",
    "sep_bottleneck_1": "decode_head-sep_bottleneck-1-pointwise_conv-activate",
    "aux_convs": "auxiliary_head-convs-0-activate",
}


def feature_layer(model, feature):
    """The layer that computes a feature of the fixtures."""
    if feature.startswith("layer"):
        blocks = [layer.name for layer in model.layers if f"-{feature}-" in layer.name]
        last = max(int(name.split("-")[2]) for name in blocks)
        return model.get_layer(f"backbone-{feature}-{last}-relu")
    return model.get_layer(FEATURES[feature])


def golden_case(case, **options):
    """The model and the input of a case."""
    spec = case["model"]
    model = kd.build(
        f"r{spec['depth']}_d{spec['output_stride']}",
        spec["num_classes"],
        multi_grid=spec["multi_grid"],
        include_preprocessing=False,
        aux_head=True,
        **options,
    )
    kd.load_state_dict(model, state_dict(spec["depth"], spec["num_classes"]))
    return model, golden.make_input(case["case"], *case["input"]["shape_nhwc"][:3])


def assert_values(actual, expected):
    actual = np.asarray(actual)
    assert list(actual.shape) == expected["shape_nhwc"]
    n, y, x = np.array(expected["positions_nyx"]).T
    np.testing.assert_allclose(actual[n, y, x], expected["values"], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", CASES)
def test_features_and_logits(name):
    case = read(f"models/{name}.json")
    model, image = golden_case(case, resize_logits=False)
    layers = {feature: feature_layer(model, feature).output for feature in case["features"]}
    assert len(layers) == 16
    features, outputs = keras.Model(model.input, [layers, model.output])(image, training=False)
    for feature, expected in case["features"].items():
        actual = np.asarray(features[feature])
        assert list(actual.shape) == expected["shape_nhwc"], feature
        for sample in expected["samples"]:
            value = actual[tuple(sample["nyxc"])]
            assert abs(value - sample["value"]) <= TOLERANCE, (feature, sample, value)
    assert_values(outputs["logits"], case["decode_logits"])
    assert_values(outputs["aux_logits"], case["aux_logits"])
    for key, fixture in (("logits", "decode_logits"), ("aux_logits", "aux_logits")):
        logits = np.asarray(outputs[key]).reshape(-1, case["model"]["num_classes"])
        np.testing.assert_allclose(logits.mean(0), case[fixture]["class_mean"], atol=TOLERANCE)
        np.testing.assert_allclose(logits.std(0), case[fixture]["class_std"], atol=TOLERANCE)


@pytest.mark.parametrize("name", [name for name in CASES if "r101" not in name])
def test_resized_logits(name):
    case = read(f"models/{name}.json")
    model, image = golden_case(case)
    outputs = model(image, training=False)
    for key, fixture in (("logits", "decode"), ("aux_logits", "aux")):
        expected = case[f"{fixture}_resized_to_input"]
        assert_values(outputs[key], expected)
        classes = np.asarray(outputs[key]).argmax(-1).ravel()
        histogram = np.bincount(classes, minlength=case["model"]["num_classes"])
        moved = np.abs(histogram - expected["argmax_histogram"]).sum()
        assert moved <= 2 * expected["pixels_with_margin_below_1e-3"]
