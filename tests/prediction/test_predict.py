"""`predict` against the reference's test-time augmentation and sliding windows."""

import numpy as np
import pytest
from reference import TOLERANCE, golden, golden_model, read
from scipy.special import softmax
from tiny import tiny_model
from toy import toy_predictor

import keras_deeplab as kd
from keras_deeplab.prediction.protocols import Protocol
from keras_deeplab.prediction.views import logits_rows
from keras_deeplab.runtimes.keras_runtime import logits_function
from keras_deeplab.runtimes.predictor import as_predictor


@pytest.fixture(scope="module")
def model():
    return golden_model(18)


@pytest.fixture(scope="module")
def bare_model():
    return golden_model(18, include_preprocessing=False)


def test_flip_equals_the_reference(model):
    case = read("tta/tta_flip.json")["variants"]["uint8"]
    image = golden.make_image_u8("tta_flip", 96, 128)
    probabilities = kd.predict(model, image, flip=True)
    assert probabilities.dtype == np.float32
    _, y, x = np.array(case["positions_nyx"]).T
    np.testing.assert_allclose(probabilities[y, x], case["probabilities"], rtol=0, atol=TOLERANCE)
    histogram = np.bincount(probabilities.argmax(-1).ravel(), minlength=6)
    moved = np.abs(histogram - case["argmax_histogram"]).sum()
    assert moved <= 2 * case["pixels_with_margin_below_1e-4"]


def test_windows_equal_the_reference(bare_model):
    case = read("tta/slide_96x128.json")
    image = golden.make_input("slide_96x128", 1, 96, 128)
    windows = Protocol(window=64, stride=48)
    rows = logits_rows(as_predictor(bare_model), image[0], windows)
    logits = np.concatenate([part for _, part in rows])[np.newaxis]
    n, y, x = np.array(case["logits"]["positions_nyx"]).T
    np.testing.assert_allclose(logits[n, y, x], case["logits"]["values"], rtol=0, atol=TOLERANCE)
    histogram = np.bincount(logits.argmax(-1).ravel(), minlength=6)
    second, best = np.sort(logits, axis=-1)[..., -2:].reshape(-1, 2).T
    near_ties = (best - second < 2 * TOLERANCE).sum()
    assert near_ties < 0.01 * best.size
    assert np.abs(histogram - case["argmax_histogram"]).sum() <= 2 * near_ties
    probabilities = kd.predict(bare_model, image[0], window=64, stride=48)
    np.testing.assert_allclose(probabilities, softmax(logits[0], axis=-1), atol=1e-5)


def test_scales_average_softmax(model):
    image = golden.make_image_u8("scales", 64, 80)
    views = [kd.predict(model, image, scales=(scale,)) for scale in (0.5, 1.0, 1.75)]
    together = kd.predict(model, image, scales=(0.5, 1.0, 1.75))
    np.testing.assert_allclose(together, np.mean(views, axis=0), atol=1e-5)
    np.testing.assert_allclose(together.sum(-1), 1, atol=1e-5)


def test_head_resolution_and_auxiliary_outputs_predict_the_same(model):
    image = golden.make_image_u8("heads", 64, 80)
    expected = kd.predict(model, image)
    small = golden_model(18, aux_head=True, resize_logits=False)
    np.testing.assert_allclose(kd.predict(small, image), expected, atol=1e-4)


def test_one_trace_serves_all_sizes():
    model = tiny_model()
    for size in ((32, 32), (33, 47), (64, 40)):
        kd.predict(model, np.zeros((*size, 3), "uint8"), flip=True)
    forward = logits_function(model)
    compiled = forward.__closure__[0].cell_contents
    assert compiled.experimental_get_tracing_count() == 1


def test_float_images_are_those_of_uint8(model):
    """On the same scale; also one that is black all over."""
    image = np.random.default_rng(0).integers(0, 256, (40, 48, 3), "uint8")
    for pixels in (image, np.zeros_like(image)):
        expected = kd.predict(model, pixels)
        np.testing.assert_array_equal(kd.predict(model, pixels.astype("float32")), expected)


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (np.zeros((20, 64, 3), "uint8"), {}, "height is 20 pixels"),
        (np.zeros((48, 48, 3), "uint8"), {"scales": (0.5,)}, "height is 24 pixels"),
        (np.zeros((64, 64, 4), "uint8"), {}, r"\(height, width, 3\), got \(64, 64, 4\)"),
        (np.zeros((1, 64, 64, 3), "uint8"), {}, "got \\(1, 64, 64, 3\\)"),
        (np.full((64, 64, 3), 0.9, "float32"), {}, "0..255 itself, .* got float values up to 0.9"),
        (np.full((64, 64, 3), 256.0, "float32"), {}, "got float32 256 to 256"),
        (np.full((64, 64, 3), -1.0, "float32"), {}, "got float32 -1 to -1"),
        (np.zeros((64, 64, 3), "uint16"), {}, "got uint16 0 to 0"),
        (np.zeros((64, 64, 3), "uint8"), {"scales": ()}, "one or more positive factors"),
        (np.zeros((64, 64, 3), "uint8"), {"stride": 32}, "needs a window"),
        (
            np.zeros((64, 64, 3), "uint8"),
            {"window": 32, "stride": 40},
            "not exceed the window",
        ),
    ],
)
def test_bad_input(model, image, options, message):
    with pytest.raises(ValueError, match=message):
        kd.predict(model, image, **options)


def test_a_dark_image_is_valid_where_the_model_states_a_range():
    image = np.full((32, 32, 3), 0.9, "float32")
    with pytest.raises(ValueError, match="rescale the image"):
        kd.predict(toy_predictor(), image)
    ranged = toy_predictor(value_range=(0, 4000))
    np.testing.assert_allclose(kd.predict(ranged, image), 1 / 3, rtol=1e-6)


def test_a_model_of_probabilities_is_refused():
    with pytest.raises(ValueError, match="activation=None"):
        kd.predict(kd.build("r18_d16", 2, activation="softmax"), np.zeros((32, 32, 3), "uint8"))
