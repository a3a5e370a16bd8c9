"""Files of runtimes: what `convert` writes is a model of its own; others are refused."""

import dataclasses
import hashlib
import json
import os
import shutil

import numpy as np
import pytest
from reference import TOLERANCE
from runtimes.runtime_cases import FILES, IMAGES
from tiny import tiny_model, tiny_networks

import keras_deeplab as kd
from keras_deeplab.runtimes.compiling import find_network
from keras_deeplab.runtimes.predictor import Network, network_from_json
from keras_deeplab.runtimes.registry import RUNTIMES

SIZE = IMAGES.shape[1:3]
FIXED = [name for name in FILES if not RUNTIMES[name].module.ANY_SIZE]


@pytest.fixture(scope="module")
def model():
    with tiny_networks():
        return kd.build("r18_d16", 3)


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """The file of each runtime, as in the cache, outside of it."""
    cache, folder = tmp_path_factory.mktemp("cache"), tmp_path_factory.mktemp("files")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_DEEPLAB_HOME", str(cache))
        for name in FILES:
            kd.compile_for_inference(model, name, "float32").compile(SIZE)
    for path in cache.rglob("model.*"):
        shutil.copy(path, folder)
    return {name: folder / f"model{RUNTIMES[name].suffix}" for name in FILES}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_the_model(model, files, cache, name):
    for path in (files[name], str(files[name])):
        predictor = kd.compile_for_inference(path)
        assert (predictor.runtime, predictor.precision) == (name, "float32")
        assert predictor.metadata == model.metadata and predictor.metadata.classes.names
        expected = model(IMAGES.astype("float32"), training=False)
        np.testing.assert_allclose(predictor(IMAGES), expected, rtol=0, atol=TOLERANCE)
    assert find_network(files[name]) == predictor.network
    assert predictor.network == find_network(model)
    content = files[name].with_suffix(".bin" if name == "openvino" else files[name].suffix)
    assert predictor.weights_sha256() == hashlib.sha256(content.read_bytes()).hexdigest()
    assert not cache.exists()  # the file itself is used


def test_a_file_in_bfloat16(model, files):
    predictor = kd.compile_for_inference(files["openvino"], precision="bfloat16")
    assert predictor.precision == "bfloat16"
    expected = model(IMAGES.astype("float32"), training=False)
    np.testing.assert_allclose(predictor(IMAGES), expected, rtol=0, atol=0.05)


# --- Sizes ---


@pytest.mark.parametrize("name", FIXED)
def test_another_size_than_that_of_the_file(files, name):
    predictor = kd.compile_for_inference(files[name])
    assert predictor.size == SIZE
    message = f"^{files[name]} takes images of up to 40 x 48 pixels, got"
    with pytest.raises(ValueError, match=f"{message} 48 x 40: .*window=40 or --window 40"):
        predictor(IMAGES.swapaxes(1, 2))
    with pytest.raises(ValueError, match=f"{message} 40 x 64"):
        predictor.compile((40, 64))
    with pytest.raises(ValueError, match=f"{message} 64 x 64"):
        kd.compile_for_inference(files[name], tile=64)
    predictor(IMAGES)  # which it still takes


@pytest.mark.parametrize("name", FIXED)
def test_smaller_images_are_mirrored_up_to_the_size(model, files, name):
    predictor = kd.compile_for_inference(files[name])
    for height, width in ((33, 48), (40, 32), (35, 39)):
        part = IMAGES[:, :height, :width]
        whole = np.pad(part, ((0, 0), (0, 40 - height), (0, 48 - width), (0, 0)), "symmetric")
        expected = model(whole.astype("float32"), training=False)[:, :height, :width]
        np.testing.assert_allclose(predictor(part), expected, rtol=0, atol=TOLERANCE)


def test_smaller_images_share_a_compiled_size(files, monkeypatch):
    module, sizes = RUNTIMES["onnx"].module, []
    compile_file = module.compile_file
    monkeypatch.setattr(
        module,
        "compile_file",
        lambda path, size, precision: sizes.append(size) or compile_file(path, size, precision),
    )
    predictor = kd.compile_for_inference(files["onnx"])
    for side in (32, 36, 40):
        predictor(IMAGES[:, :side, :side])
    assert sizes == [SIZE]


def test_onnx_file_of_any_size(model, tmp_path):
    path = tmp_path / "open.onnx"
    RUNTIMES["onnx"].module.convert(model, None, path, find_network(model).to_json())
    predictor = kd.compile_for_inference(path)
    for images in (IMAGES, IMAGES.swapaxes(1, 2)):
        expected = model(images.astype("float32"), training=False)
        np.testing.assert_allclose(predictor(images), expected, rtol=0, atol=TOLERANCE)


# --- What is not a file of this package ---


@pytest.mark.parametrize("name", FILES)
def test_damaged_files(files, tmp_path, name):
    content = files[name].read_bytes()
    path = tmp_path / files[name].name
    if name == "openvino":
        shutil.copy(files[name].with_suffix(".bin"), tmp_path)
    for damaged in (b"", b"garbage" * 100, content[: len(content) // 2], content[:-100]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"^{path} cannot be read as .*: ") as caught:
            kd.compile_for_inference(path)
        assert "\n" not in str(caught.value)


def test_openvino_file_without_its_weights(files, tmp_path):
    path = shutil.copy(files["openvino"], tmp_path)
    for weights in (None, b"short"):
        if weights is not None:
            (tmp_path / "model.bin").write_bytes(weights)
        with pytest.raises(ValueError, match=f"^{path} cannot be read as OpenVINO IR"):
            kd.compile_for_inference(path)


@pytest.mark.parametrize("name", FILES)
def test_missing_file_and_folder(tmp_path, name):
    path = tmp_path / f"model{RUNTIMES[name].suffix}"
    with pytest.raises(ValueError, match=f"^{path} does not exist"):
        kd.compile_for_inference(path)
    path.mkdir()
    with pytest.raises(ValueError, match=f"^{path} is a folder"):
        kd.compile_for_inference(path)


@pytest.mark.parametrize("name", FILES)
def test_file_of_another_tool(model, tmp_path, name, monkeypatch):
    """It has metadata as well, but not ours."""
    module = RUNTIMES[name].module
    path = tmp_path / f"model{RUNTIMES[name].suffix}"
    with monkeypatch.context() as patch:
        patch.setattr(module, "RECORD", module.RECORD[:5])  # text, or the bytes of a text
        module.convert(model, SIZE, path, "{}")
    with pytest.raises(ValueError, match=f"^{path} .*no entry 'keras_deeplab' in its metadata"):
        kd.compile_for_inference(path)


@pytest.mark.parametrize("name", FILES)
def test_file_with_the_record_of_another_version(model, tmp_path, name):
    path = tmp_path / f"model{RUNTIMES[name].suffix}"
    record = {**json.loads(find_network(model).to_json()), "bits": 4}
    RUNTIMES[name].module.convert(model, SIZE, path, json.dumps(record))
    with pytest.raises(ValueError, match=f"^{path}: .*not written by this version.*bits"):
        kd.compile_for_inference(path)


RECORD = json.loads(Network("some", None, channels=3, classes=2, normalises=True).to_json())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "3",
        "[]",
        "null",
        "{}",
        json.dumps({"metadata": None}),
        json.dumps({**RECORD, "metadata": {"variant": "r18_d16"}}),
        json.dumps({**RECORD, "metadata": 3}),
        json.dumps({key: RECORD[key] for key in RECORD if key != "channels"}),
    ],
)
def test_records_that_are_refused(text):
    with pytest.raises(ValueError, match=r"^some\.onnx: "):
        network_from_json(text, where="some.onnx")


def test_a_record_survives_json(model):
    for metadata in (None, model.metadata, dataclasses.replace(model.metadata, name="Größe")):
        network = Network("net", metadata, channels=3, classes=3, normalises=False)
        assert network_from_json(network.to_json(), where="here") == network


def test_a_file_of_another_runtime(files):
    for name in FILES:
        for other in {*RUNTIMES} - {name}:
            message = f"^{files[name]} is a file of runtime {name!r}, not of {other!r}"
            with pytest.raises(ValueError, match=message):
                kd.compile_for_inference(files[name], other)


def test_precisions_of_a_file(files):
    for name in FIXED:
        with pytest.raises(ValueError, match=f"auto or one of float32, got 'bfloat16'.*{name}"):
            kd.compile_for_inference(files[name], precision="bfloat16")
    for path in files.values():
        with pytest.raises(ValueError, match=f"^{path} is not quantised to int8"):
            kd.compile_for_inference(path, precision="int8")


def test_a_path_like_object(files):
    class Path(os.PathLike):
        def __fspath__(self):
            return str(files["onnx"])

    assert kd.compile_for_inference(Path()).runtime == "onnx"


def test_a_model_without_metadata(tmp_path):
    """It is converted too; its classes have no names."""
    model, path = tiny_model(2), tmp_path / "model.onnx"
    RUNTIMES["onnx"].module.convert(model, SIZE, path, find_network(model).to_json())
    predictor = kd.compile_for_inference(path)
    assert predictor.metadata is None and predictor(IMAGES).shape == (1, *SIZE, 2)
