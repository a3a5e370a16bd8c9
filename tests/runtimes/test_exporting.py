"""Exported files: each is opened by its own runtime, and by `compile_for_inference`."""

import hashlib
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument
from reference import TOLERANCE
from runtimes.foreign_readers import NAMES, run_file, stored_record
from runtimes.runtime_cases import run_python, write_run
from scipy.special import softmax
from tiny import tiny_model, tiny_networks, with_statistics

import keras_deeplab as kd
from keras_deeplab.models.deeplab import DeepLabV3Plus
from keras_deeplab.prediction.protocols import Protocol
from keras_deeplab.prediction.views import image_probabilities
from keras_deeplab.runtimes.predictor import as_predictor, network_from_json

RAW = {"onnx": {"raw": True}}  # options of the form that all others have
RUNTIMES = [name for name in NAMES if name in ("onnx", "openvino", "litert")]
TILE = 48
RNG = np.random.default_rng(0)


def noise(height, width, channels=3):
    return RNG.uniform(0, 255, (1, height, width, channels)).astype("float32")


@pytest.fixture(scope="module")
def model():
    with tiny_networks():
        return with_statistics(kd.build("r18_d16", 3))


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    """Each format with its tile, and with open sides, as `(name, dynamic)` to `ExportedFile`."""
    folder = tmp_path_factory.mktemp("exported")
    found = {}
    for name, file in NAMES.items():
        for dynamic in (False, True):
            path = folder / f"{'open' if dynamic else 'fixed'}-{file}"
            options = {"tile": TILE, "dynamic": dynamic, **RAW.get(name, {})}
            found[name, dynamic] = kd.export(model, path, name, **options)
    return found


@pytest.mark.parametrize("dynamic", [False, True], ids=["fixed", "dynamic"])
@pytest.mark.parametrize("name", NAMES)
def test_its_runtime_gives_the_logits_of_keras(model, exported, name, dynamic):
    file = exported[name, dynamic]
    sizes = [(TILE, TILE), *([(33, 80), (97, 64)] if dynamic else [])]
    for images in (noise(*size) for size in sizes):
        expected = model(images, training=False)
        np.testing.assert_allclose(
            run_file(name, file.path, images), expected, rtol=0, atol=TOLERANCE
        )
    if not dynamic and name in RUNTIMES:  # TensorFlow ignores the shape of a signature
        with pytest.raises((ValueError, RuntimeError, TypeError, InvalidArgument)):
            run_file(name, file.path, noise(TILE, TILE + 32))
    if not dynamic and name == "tf_saved_model":
        signature = tf.saved_model.load(str(file.path)).signatures["serving_default"]
        assert signature.structured_input_signature[1]["image"].shape == (None, TILE, TILE, 3)
    assert file.size == (None if file.dynamic else (TILE, TILE))
    assert file.dynamic == (dynamic or name == "keras")


@pytest.mark.parametrize("name", NAMES)
def test_a_stac_item_describes_the_file(model, exported, name):
    file = exported[name, False]
    item = json.loads(file.path.with_name(f"{file.path.name}.stac.json").read_text())
    asset = item["assets"]["model"]
    assert (file.path.parent / asset["href"]) == file.path
    if file.path.is_file():
        digest = hashlib.sha256(file.path.read_bytes()).hexdigest()
        assert asset["file:checksum"] == f"1220{digest}"  # a multihash
    assert item["properties"]["mlm:total_parameters"] == model.count_params()


@pytest.mark.parametrize("name", NAMES)
def test_the_file_says_what_it_is(model, exported, name):
    for dynamic in (False, True):
        file = exported[name, dynamic]
        record = stored_record(name, file.path)
        export = record["export"]
        assert export == json.loads(json.dumps(file.to_json()))
        assert network_from_json(json.dumps(record), where="here").metadata == model.metadata
        assert export["format"] == name
        assert export["precision"] == file.precision == "float32"
        assert (export["layout"], export["value_range"]) == ("NHWC", [0, 255])
        assert (export["output"], export["dynamic"]) == ("logits", export["size"] is None)
        assert export["batch"] == (1 if name == "litert" else None)
        agreement = export["agreement"]
        assert agreement["equal_classes"] >= 0.999 and agreement["image"] == "noise"
        assert agreement["largest_difference"] <= TOLERANCE
        assert agreement["pixels"] >= TILE * TILE


@pytest.mark.parametrize("name", RUNTIMES)
def test_compile_for_inference_takes_the_file(model, exported, name):
    for dynamic in (False, True):
        predictor = kd.compile_for_inference(exported[name, dynamic].path)
        images = np.concatenate([noise(TILE, TILE)] * 2)
        expected = model(images, training=False)
        np.testing.assert_allclose(predictor(images), expected, rtol=0, atol=TOLERANCE)
        assert predictor.metadata == model.metadata and predictor.runtime == name
    for height, width in ((64, 32), (40, 56)):  # of the open one
        expected = model(images := noise(height, width), training=False)
        np.testing.assert_allclose(predictor(images), expected, rtol=0, atol=TOLERANCE)
    message = f"of up to {TILE} x {TILE} pixels, got 64 x 64: .*--window {TILE}"
    with pytest.raises(ValueError, match=message):
        kd.compile_for_inference(exported[name, False].path, tile=64)


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_suffix_in_capitals(model, tmp_path, name):
    path = tmp_path / NAMES[name].upper()
    kd.export(model, path, tile=TILE)
    weights = path.with_suffix(".bin") if name == "openvino" else path
    item = path.with_name(f"{path.name}.stac.json")
    assert set(tmp_path.iterdir()) == {path, item, weights}
    predictor = kd.compile_for_inference(path)
    images = noise(TILE, TILE)
    expected = softmax(model(images, training=False), -1)
    np.testing.assert_allclose(softmax(predictor(images), -1), expected, rtol=0, atol=TOLERANCE)
    assert predictor.weights_sha256() == hashlib.sha256(weights.read_bytes()).hexdigest()
    kd.export(model, path, name, tile=TILE)  # over itself


def test_a_keras_file_keeps_metadata(model, exported):
    loaded = keras.saving.load_model(exported["keras", False].path)
    assert isinstance(loaded, DeepLabV3Plus) and loaded.metadata == model.metadata
    assert kd.compile_for_inference(exported["keras", False].path, "keras")(noise(40, 40)).any()


# --- The form for QGIS, read back ---


def test_probabilities_are_read_as_logits(model, tmp_path):
    """Equal up to a constant of each pixel: classes and every average of views are the same."""
    file = kd.export(model, tmp_path / "model.onnx", tile=TILE, dynamic=True)
    predictor, keras_predictor = kd.compile_for_inference(file.path), as_predictor(model)
    images = noise(64, 48)
    logits, expected = predictor(images), keras_predictor(images)
    np.testing.assert_array_equal(logits.argmax(-1), expected.argmax(-1))
    shift = logits - expected
    np.testing.assert_allclose(shift, shift[..., :1].repeat(3, -1), atol=TOLERANCE)
    views = Protocol(scales=(0.75, 1.0, 1.5), flip=True, window=(48, 48), stride=(32, 32))
    image = images[0].astype("uint8")
    for found, wanted in zip(
        image_probabilities(predictor, image, views),
        image_probabilities(keras_predictor, image, views),
        strict=True,
    ):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_probability_0_has_a_finite_logit(tmp_path):
    model = tiny_model(3)
    model.get_layer("decode_head-conv_seg").bias.assign([0, 500, -500])
    file = kd.export(model, tmp_path / "model.onnx", tile=32)
    logits = kd.compile_for_inference(file.path)(noise(32, 32))
    assert np.isfinite(logits).all() and (logits.argmax(-1) == 1).all()


def test_other_forms_are_refused(model, tmp_path):
    """A file of a later version must not be fed wrongly."""
    import onnx

    path = tmp_path / "model.onnx"
    kd.export(model, path, tile=32)
    content = onnx.load_model(path)
    (entry,) = (entry for entry in content.metadata_props if entry.key == "keras_deeplab")
    record = json.loads(entry.value)
    for change in ({"layout": "HWCN"}, {"value_range": [-1, 1]}, {"output": "classes"}, {}):
        export = {**record["export"], **change} if change else {"format": "onnx"}
        entry.value = json.dumps({**record, "export": export})
        onnx.save_model(content, path)
        with pytest.raises(ValueError, match=f"^{path}: its .*not written by this version"):
            kd.compile_for_inference(path)


def test_no_tensorflow_to_read_a_file(exported):
    code = (
        "import sys, numpy as np, keras_deeplab as kd\n"
        "for path in sys.argv[1:]:\n"
        f"    kd.compile_for_inference(path)(np.zeros((1, {TILE}, {TILE}, 3), 'uint8'))\n"
        "assert not {'keras', 'tensorflow', 'tf2onnx'} & set(sys.modules)"
    )
    run_python(code, *(exported[name, False].path for name in RUNTIMES))


# --- Models of all kinds ---

FORMATS = [pytest.param(name, {}, id=name) for name in NAMES] + [
    pytest.param("onnx", {"raw": True}, id="raw")
]


def results_of(name, file, images):
    """What the file gives, as logits or probabilities `(N, H, W, classes)`."""
    if file.form.layout == "NHWC":
        return run_file(name, file.path, images)
    return np.moveaxis(run_file(name, file.path, np.moveaxis(images, -1, 1) / 255), 1, -1)


def check_file(name, file, model, channels=3):
    images = noise(64, 64, channels)
    expected = model(images, training=False)
    expected = np.asarray(expected["logits"] if isinstance(expected, dict) else expected)
    results = results_of(name, file, images)
    wanted = softmax(expected, -1) if file.form.output == "probabilities" else expected
    np.testing.assert_allclose(results, wanted, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(("name", "options"), FORMATS)
def test_auxiliary_head_and_further_channels(tmp_path, name, options):
    model = with_statistics(tiny_model(4, channels=5, aux_head=True))
    file = kd.export(model, tmp_path / NAMES[name], name, tile=64, **options)
    check_file(name, file, model, channels=5)


@pytest.mark.parametrize(("name", "options"), FORMATS)
def test_logits_have_the_size_of_the_image(tmp_path, name, options):
    """Also those of a model that leaves the last resizing to others."""
    whole = tiny_model(3, stride=2)
    conv = whole.get_layer("decode_head-conv_seg")
    small = DeepLabV3Plus(whole.input, conv.output)
    assert small(noise(64, 64)).shape == (1, 32, 32, 3)
    file = kd.export(small, tmp_path / NAMES[name], name, tile=64, **options)
    check_file(name, file, whole)


def test_a_model_of_one_size(tmp_path):
    whole = tiny_model(3)
    image = keras.Input((64, 64, 3))
    fixed = keras.models.clone_model(whole, input_tensors=image)
    fixed.set_weights(whole.get_weights())
    for name, file in NAMES.items():
        path = tmp_path / file
        with pytest.raises(ValueError, match=r"only images of \(64, 64\), not of tile 512.*=64"):
            kd.export(fixed, path, name)
        with pytest.raises(ValueError, match=r"built for images of \(64, 64\).*dynamic"):
            kd.export(fixed, path, name, tile=64, dynamic=True)
        exported = kd.export(fixed, path, name, tile=64)
        assert exported.size == (64, 64)
        check_file(name, exported, whole)


def test_a_model_of_normalised_images(tmp_path):
    with tiny_networks():
        model = kd.build("r18_d16", 3)
    plain = model.get_layer("preprocessing")
    plain.mean = plain.std = None
    with pytest.raises(ValueError, match=r"takes normalised images, but .*raw"):
        kd.export(model, tmp_path / "model.onnx", tile=64)
    file = kd.export(model, tmp_path / "model.onnx", tile=64, raw=True)
    assert file.form.value_range is None and "normalised" in str(file)
    predictor = kd.compile_for_inference(file.path)
    images = (noise(64, 64) - 127) / 60
    expected = model(images, training=False)
    np.testing.assert_allclose(predictor(images), expected, rtol=0, atol=TOLERANCE)


def test_another_precision_of_training(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = with_statistics(tiny_model(3))
    finally:
        keras.config.set_dtype_policy("float32")
    twin = with_statistics(tiny_model(3))
    for name, file in NAMES.items():
        check_file(name, kd.export(model, tmp_path / file, name, tile=64), twin)


def test_run_folders_and_keras_files(tmp_path):
    image = RNG.integers(0, 256, (90, 130, 3), "uint8")
    model = write_run(tmp_path / "run", check_image=image)
    model.save(tmp_path / "model.keras")
    for source, checked in (("run", "check image"), ("model.keras", "noise")):
        with tiny_networks():
            file = kd.export(tmp_path / source, tmp_path / "model.xml", tile=128)
        assert file.agreement.image == checked and file.agreement.pixels == 128 * 128
        assert file.network.metadata == model.metadata
        np.testing.assert_allclose(
            run_file("openvino", file.path, images := noise(128, 128)),
            model(images, training=False),
            atol=TOLERANCE,
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_zoo(tmp_path, name):
    for dynamic in (False, True):
        options = {"tile": 96, "dynamic": dynamic, **RAW.get(name, {})}
        file = kd.export("r18_dubai", tmp_path / NAMES[name], name, **options)
        images = noise(96, 160 if dynamic else 96)
        expected = kd.load("r18_dubai")(images, training=False)
        results = run_file(name, file.path, images)
        np.testing.assert_allclose(results, expected, rtol=0, atol=TOLERANCE)
