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
HEADS = {"decode": "decode_head", "aux": "auxiliary_head"}


def feature_layer(model, feature):
    """The layer that computes a feature of the fixtures."""
    if feature.startswith("layer"):
        blocks = [layer.name for layer in model.layers if f"-{feature}-" in layer.name]
        last = max(int(name.split("-")[2]) for name in blocks)
        return model.get_layer(f"backbone-{feature}-{last}-relu")
    return model.get_layer(FEATURES[feature])


def assert_values(actual, expected):
    assert list(actual.shape) == expected["shape_nhwc"]
    n, y, x = np.array(expected["positions_nyx"]).T
    np.testing.assert_allclose(actual[n, y, x], expected["values"], rtol=0, atol=TOLERANCE)


@pytest.fixture(scope="module", params=CASES)
def computed(request):
    """A case, and what the network makes of its input: features, logits of the heads, outputs."""
    case = read(f"models/{request.param}.json")
    spec = case["model"]
    model = kd.build(
        f"r{spec['depth']}_d{spec['output_stride']}",
        spec["num_classes"],
        multi_grid=spec["multi_grid"],
        include_preprocessing=False,
        aux_head=True,
    )
    kd.load_state_dict(model, state_dict(spec["depth"], spec["num_classes"]))
    wanted = {feature: feature_layer(model, feature).output for feature in case["features"]}
    assert len(wanted) == 16
    wanted |= {head: model.get_layer(f"{layer}-conv_seg").output for head, layer in HEADS.items()}
    image = golden.make_input(case["case"], *case["input"]["shape_nhwc"][:3])
    values, outputs = keras.Model(model.input, [wanted, model.output])(image, training=False)
    as_arrays = ({key: np.asarray(value) for key, value in d.items()} for d in (values, outputs))
    return case, *as_arrays


def test_features(computed):
    case, values, _ = computed
    for feature, expected in case["features"].items():
        assert list(values[feature].shape) == expected["shape_nhwc"], feature
        for sample in expected["samples"]:
            value = values[feature][tuple(sample["nyxc"])]
            assert abs(value - sample["value"]) <= TOLERANCE, (feature, sample, value)


def test_logits(computed):
    case, values, _ = computed
    for head in HEADS:
        expected = case[f"{head}_logits"]
        assert_values(values[head], expected)
        logits = values[head].reshape(-1, case["model"]["num_classes"])
        np.testing.assert_allclose(logits.mean(0), expected["class_mean"], atol=TOLERANCE)
        np.testing.assert_allclose(logits.std(0), expected["class_std"], atol=TOLERANCE)


def test_outputs(computed):
    """The logits at the size of the image."""
    case, _, outputs = computed
    for head, output in (("decode", "logits"), ("aux", "aux_logits")):
        expected = case[f"{head}_resized_to_input"]
        assert_values(outputs[output], expected)
        classes = outputs[output].argmax(-1).ravel()
        histogram = np.bincount(classes, minlength=case["model"]["num_classes"])
        moved = np.abs(histogram - expected["argmax_histogram"]).sum()
        assert moved <= 2 * expected["pixels_with_margin_below_1e-3"]
