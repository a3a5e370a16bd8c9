"""Every runtime computes what Keras computes, at every size."""

import keras
import numpy as np
import pytest
from reference import TOLERANCE, golden, golden_model, read
from runtimes.runtime_cases import CASES, NAMES
from tiny import tiny_model

import keras_deeplab as kd
from keras_deeplab.models.deeplab import DeepLabV3Plus
from keras_deeplab.runtimes.predictor import MOST_SIZES, as_predictor
from keras_deeplab.runtimes.registry import RUNTIMES

BFLOAT16 = 0.05  # of the largest logit: 8 bits a number, rounded in every layer
rng = np.random.default_rng(0)


def images(*shape):
    return rng.integers(0, 256, shape, "uint8")


def keras_logits(model, batch):
    outputs = model(batch.astype("float32"), training=False)
    return np.asarray(outputs["logits"] if isinstance(outputs, dict) else outputs)


def assert_close(actual, expected, precision):
    assert actual.dtype == np.float32 and actual.shape == expected.shape
    limit = TOLERANCE if precision == "float32" else BFLOAT16 * np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=limit)


@pytest.mark.parametrize(("runtime", "precision"), CASES)
def test_any_size_and_number_of_images(runtime, precision):
    model = tiny_model(3)
    predictor = kd.compile_for_inference(model, runtime, precision)
    assert (predictor.runtime, predictor.precision) == (runtime, precision)
    for shape in ((1, 32, 32, 3), (2, 33, 47, 3), (1, 64, 40, 3), (1, 33, 47, 3)):
        batch = images(*shape)
        logits = predictor(batch)
        assert_close(logits, keras_logits(model, batch), precision)
        np.testing.assert_array_equal(predictor(batch.astype("float32")), logits)


@pytest.mark.long
@pytest.mark.parametrize("runtime", NAMES)
def test_dilated_network_equals_the_reference(runtime):
    """The fixture of ResNet-18 at output stride 8, computed by PyTorch."""
    case = read("models/r18_loveda_os8_1x128x128.json")
    model = golden_model(18, 7, include_preprocessing=False)
    image = golden.make_input(case["case"], *case["input"]["shape_nhwc"][:3])
    logits = kd.compile_for_inference(model, runtime, "float32")(np.asarray(image))
    expected = case["decode_resized_to_input"]
    n, y, x = np.array(expected["positions_nyx"]).T
    np.testing.assert_allclose(logits[n, y, x], expected["values"], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("runtime", NAMES)
def test_auxiliary_head(runtime):
    """The logits of the main head are the output."""
    batch = images(1, 48, 64, 3)
    both = tiny_model(2, aux_head=True)
    predictor = kd.compile_for_inference(both, runtime, "float32")
    assert_close(predictor(batch), keras_logits(both, batch), "float32")


@pytest.mark.parametrize(("runtime", "precision"), CASES)
def test_logits_at_the_resolution_of_the_head(runtime, precision):
    """They are resized to the image, in float32."""
    full = tiny_model(2, stride=4)
    small = DeepLabV3Plus(full.input, full.get_layer("decode_head-conv_seg").output)
    batch = images(1, 50, 64, 3)
    assert keras_logits(small, batch).shape == (1, 13, 16, 2)
    predictor = kd.compile_for_inference(small, runtime, precision)
    assert_close(predictor(batch), keras_logits(full, batch), precision)


def test_mixed_precision_model_in_float32():
    """The weights are what counts, not the policy that they were trained under."""
    mixed = kd.build("r18_d16", 2, dtype="mixed_bfloat16")
    plain = kd.build("r18_d16", 2)
    plain.set_weights(mixed.get_weights())
    batch = images(1, 40, 40, 3)
    predictor = kd.compile_for_inference(mixed, "keras", "float32")
    np.testing.assert_allclose(predictor(batch), keras_logits(plain, batch), atol=1e-6)
    assert as_predictor(mixed).precision == "bfloat16"


def test_a_keras_model_is_shared_or_copied():
    """`kd.predict` follows the weights of a model; a compiled one keeps those it was given."""
    model = tiny_model(2)
    batch = images(1, 32, 32, 3)
    shared = as_predictor(model)
    before = shared(batch)
    compiled = [kd.compile_for_inference(model, name, "float32") for name in NAMES]
    model.set_weights([weight * 0 for weight in model.get_weights()])
    assert np.abs(shared(batch) - before).max() > 0
    for predictor in compiled:
        np.testing.assert_allclose(predictor(batch), before, atol=TOLERANCE)


def test_only_so_many_sizes_stay_compiled():
    compiled = []
    predictor = as_predictor(tiny_model())
    engine = predictor._compile_size
    predictor._compile_size = lambda size: compiled.append(size) or engine(size)
    for side in (*range(32, 32 + MOST_SIZES + 1), 33, 32):
        predictor(images(1, side, 32, 3))
    assert [size[0] for size in compiled] == [*range(32, 33 + MOST_SIZES), 32]


@pytest.mark.parametrize("runtime", NAMES)
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 20, 64, 3), "height is 20 pixels"),
        ((1, 64, 64, 4), r"\(count, height, width, 3\), got \(1, 64, 64, 4\)"),
        ((64, 64, 3), r"got \(64, 64, 3\)"),
        ((0, 64, 64, 3), r"got \(0, 64, 64, 3\)"),
    ],
)
def test_bad_images(runtime, shape, message):
    with pytest.raises(ValueError, match=message):
        kd.compile_for_inference(tiny_model(), runtime, "float32")(images(*shape))


@pytest.mark.parametrize("runtime", NAMES)
def test_a_model_of_one_size(runtime):
    any_size = tiny_model()
    model = keras.models.clone_model(any_size, keras.Input((40, 48, 3), name="image"))
    model.set_weights(any_size.get_weights())
    batch = images(2, 40, 48, 3)
    for predictor in (kd.compile_for_inference(model, runtime, "float32"), as_predictor(model)):
        assert_close(predictor(batch), keras_logits(any_size, batch), "float32")
        with pytest.raises(ValueError, match="takes only images of width 48, got 40"):
            predictor(batch[:, :, :40])


def test_predict_and_evaluate_take_a_predictor():
    model = tiny_model(2)
    image, label = images(40, 48, 3), rng.integers(0, 2, (40, 48)).astype("uint8")
    for name in NAMES:
        predictor = kd.compile_for_inference(model, name, "float32")
        for options in ({}, {"flip": True, "scales": (1.0, 1.5)}, {"window": 32, "stride": 24}):
            expected = kd.predict(model, image, **options)
            actual = kd.predict(predictor, image, **options)
            np.testing.assert_allclose(actual, expected, atol=TOLERANCE)
        found = kd.evaluate(predictor, [(image, label)]).result()["aAcc"]
        assert abs(found - kd.evaluate(model, [(image, label)]).result()["aAcc"]) < 0.01


def test_precisions_of_all_runtimes_are_tested():
    """A runtime that is missing here is not tested at all."""
    assert set(NAMES) == set(RUNTIMES), "pip install keras-deeplab[test] installs all of them"


def test_repr_names_model_runtime_and_precision():
    model = tiny_model()
    assert repr(as_predictor(model)) == f"<Predictor {model.name}: keras, float32>"
