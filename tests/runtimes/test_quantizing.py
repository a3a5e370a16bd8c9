"""int8 files: what they compute, what they say of themselves, and when none is written."""

import dataclasses
import hashlib
import importlib.util
import json
import os
import sys

import numpy as np
import pytest
from PIL import Image
from runtimes.foreign_readers import stored_record
from runtimes.runtime_cases import run_python
from tiny import tiny_networks

import keras_deeplab as kd
from keras_deeplab.runtimes.compiling import stored_precision
from keras_deeplab.runtimes.openvino_runtime import import_openvino
from keras_deeplab.runtimes.quantizing import quantize
from keras_deeplab.runtimes.source import find_source

if importlib.util.find_spec("nncf") is None:  # not imported here: it would import telemetry
    pytest.skip("needs the extra [int8]", allow_module_level=True)

TILE = 64


@pytest.fixture(scope="module")
def crops():
    """Cells of one colour with noise."""
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 200, (6, TILE // 8, TILE // 8, 3)).repeat(8, 1).repeat(8, 2)
    return (cells + rng.integers(0, 50, cells.shape)).astype("uint8")


@pytest.fixture(scope="module")
def model():
    with tiny_networks():
        return kd.build("r18_d16", 3)


@pytest.fixture
def source(model):
    return find_source(model)


@pytest.fixture(scope="module")
def written(model, crops, tmp_path_factory):
    """An int8 file, and its `ExportedFile`."""
    path = tmp_path_factory.mktemp("int8") / "new" / "model.xml"
    return path, quantize(find_source(model), crops[:4], TILE, path)


def test_the_classes_are_nearly_those_of_float32(model, crops, written):
    path, result = written
    predictor = kd.compile_for_inference(path)
    assert (predictor.runtime, predictor.precision) == ("openvino", "int8")
    assert predictor.metadata == model.metadata
    expected = np.asarray(model(crops.astype("float32"), training=False)).argmax(-1)
    same = predictor(crops).argmax(-1) == expected
    assert same.mean() > 0.97
    agreement = result.agreement
    assert agreement.equal_classes == pytest.approx(same[:4].mean(), abs=0.002)
    assert (agreement.pixels, agreement.image) == (4 * TILE * TILE, "calibration crops")
    difference = np.abs(predictor(crops[:4]) - kd.compile_for_inference(model)(crops[:4])).max()
    assert agreement.largest_difference == pytest.approx(difference, abs=1e-4)
    assert kd.evaluate(predictor, [(crops[0], expected[0])]).result()["aAcc"] > 0.95


def test_the_convolutions_are_int8(written):
    path, _ = written
    kinds = [
        node.get_element_type().get_type_name()
        for node in import_openvino().Core().read_model(path).get_ordered_ops()
        if node.get_type_name() == "Constant" and len(node.shape) == 4
    ]
    assert kinds.count("i8") == 3  # all of the tiny network
    assert sorted(os.listdir(path.parent)) == ["model.bin", "model.xml", "model.xml.stac.json"]


def test_the_item_is_that_of_the_new_file(model, source, crops, tmp_path):
    """Of an int8 file over another one, and of a model without metadata over both."""
    path, item = tmp_path / "model.xml", tmp_path / "model.xml.stac.json"
    kd.export(model, path, tile=96)
    assert item.exists()
    quantize(source, crops[:1], TILE, path)
    found = json.loads(item.read_text())
    assert found["properties"]["mlm:input"][0]["input"]["shape"] == [-1, TILE, TILE, 3]
    for asset, file in (("model", path), ("weights", path.with_suffix(".bin"))):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        assert found["assets"][asset]["file:checksum"] == f"1220{digest}"
    bare = dataclasses.replace(source, network=dataclasses.replace(source.network, metadata=None))
    quantize(bare, crops[:1], TILE, path)
    assert sorted(os.listdir(tmp_path)) == ["model.bin", "model.xml"]


def test_the_file_says_how_it_was_made(model, written):
    path, result = written
    record = stored_record("openvino", path)["export"]
    assert record == json.loads(json.dumps(result.to_json())) and stored_precision(path) == "int8"
    assert (record["precision"], record["size"]) == ("int8", [TILE, TILE])
    assert (record["layout"], record["value_range"]) == ("NHWC", [0, 255])
    how = record["quantization"]
    assert (how["crops"], how["float32"], how["int8"]) == (4, None, None)
    assert how["calibration"] == "crops given in Python" and how["nncf"]
    assert result.quantization.loss == 0
    lines = str(result).splitlines()
    assert lines[0].endswith("OpenVINO IR, int8")
    assert f"N x {TILE} x {TILE} x 3 (NHWC)" in lines[1]
    assert "class of float32 (calibration crops)" in lines[3]
    assert stored_precision(model) is None and stored_precision("r18_dubai") is None


def test_twice_the_same(source, crops, written, tmp_path):
    quantize(source, crops[:4], TILE, tmp_path / "model.xml")
    path, _ = written
    assert path.with_suffix(".bin").read_bytes() == (tmp_path / "model.bin").read_bytes()


def test_it_takes_one_size_and_mirrors_smaller_images(crops, written):
    path, _ = written
    predictor = kd.compile_for_inference(path)
    part = crops[:2, :40, :50]
    whole = np.pad(part, ((0, 0), (0, 24), (0, 14), (0, 0)), "symmetric")
    np.testing.assert_array_equal(predictor(part), predictor(whole)[:, :40, :50])
    large = np.concatenate([crops[0], crops[1]])
    message = f"^{path} takes images of up to 64 x 64 pixels, got 128 x 64.*--window 64"
    with pytest.raises(ValueError, match=message):
        predictor(large[np.newaxis])
    with pytest.raises(ValueError, match="up to 64 x 64"):
        kd.compile_for_inference(path, tile=96)
    assert kd.predict(predictor, large, window=TILE).shape == (128, 64, 3)


def test_precisions_of_a_quantised_file(model, written):
    path, _ = written
    assert kd.compile_for_inference(path, precision="int8").precision == "int8"
    for precision in ("float32", "bfloat16"):
        with pytest.raises(ValueError, match=f"^{path} is quantised to int8: .*'{precision}'"):
            kd.compile_for_inference(path, precision=precision)
    for other in (model, "r18_dubai"):
        with pytest.raises(ValueError, match=r"is not quantised.*export MODEL .*--precision int8"):
            kd.compile_for_inference(other, precision="int8")


def test_export_does_the_same(model, crops, written, tmp_path):
    """From crops, and from the images in folders."""
    path, result = written
    same = kd.export(model, tmp_path / "same.XML", tile=TILE, precision="int8", calibrate=crops[:4])
    assert dataclasses.replace(same, path=path) == result
    weights = path.with_suffix(".bin").read_bytes()
    assert (tmp_path / "same.bin").read_bytes() == weights
    for index, crop in enumerate(crops[:4]):
        folder = tmp_path / f"images {index % 2}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(crop).save(folder / f"{index // 2}.png")
    folders = [tmp_path / "images 0", tmp_path / "images 1"]
    options = {"tile": TILE, "precision": "int8", "calibrate": folders, "accept_loss": True}
    other = kd.export(model, tmp_path / "new.xml", score=scores(0.9, 0.1), **options)
    assert (other.quantization.float32, other.quantization.int8) == (0.9, 0.1)
    assert other.quantization.calibration == f"{folders[0]}, {folders[1]}"
    assert len((tmp_path / "new.bin").read_bytes()) == len(weights)
    with pytest.raises(ValueError, match=r"has no check image: name a folder .*--calibrate"):
        kd.export(model, tmp_path / "none.xml", tile=TILE, precision="int8")


# --- The score ---


def scores(float32, int8):
    return lambda predictor: {"float32": float32, "int8": int8}[predictor.precision]


def test_a_loss_is_refused_or_accepted(source, crops, tmp_path):
    path = tmp_path / "model.xml"
    options = (source, crops[:2], TILE, path)
    with pytest.raises(ValueError, match=r"drops by 0\.60 points in int8.*nothing is written"):
        quantize(*options, scores(0.5, 0.494))
    assert os.listdir(tmp_path) == []
    result = quantize(*options, scores(0.5, 0.496))  # less than half a point
    assert (result.quantization.float32, result.quantization.int8) == (0.5, 0.496)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="nothing is written"):
        quantize(*options, scores(0.9, 0.1))
    with pytest.raises(ValueError, match="none of their pixels has a class"):
        quantize(*options, scores(float("nan"), float("nan")), accept_loss=True)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    accepted = quantize(*options, scores(0.9, 0.1), accept_loss=True)
    assert accepted.quantization.loss == pytest.approx(0.8)
    record = stored_record("openvino", path)["export"]
    assert record == json.loads(json.dumps(accepted.to_json()))
    assert kd.compile_for_inference(path)(crops).any()


def test_nothing_is_left_of_a_failure(source, crops, tmp_path):
    def fail(predictor):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantize(source, crops[:2], TILE, tmp_path / "model.xml", fail)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process")
def test_a_full_disk(source, crops, tmp_path):
    """A limit of the size of files has the effect of a full disk."""
    import resource

    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_disk(predictor):
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, unlimited[1]))
        return 1.0

    try:
        with pytest.raises(OSError, match="OpenVINO cannot write, is the disk full"):
            quantize(source, crops[:1], TILE, tmp_path / "model.xml", fill_disk)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert os.listdir(tmp_path) == []


# --- What cannot be quantised ---


def test_arguments_that_do_not_fit(source, crops, tmp_path):
    path = tmp_path / "model.xml"
    for wrong in (crops[..., :2], crops[0], crops[:0], crops[:, :32]):
        with pytest.raises(ValueError, match=r"calibration crops of shape \(count, 64, 64, 3\)"):
            quantize(source, wrong, TILE, path)
    with pytest.raises(ValueError, match="tile must be 32 pixels or more, got 16"):
        quantize(source, crops, 16, path)
    with pytest.raises(ValueError, match=r"model\.onnx: .*must end in \.xml"):
        quantize(source, crops, TILE, tmp_path / "model.onnx")
    folder = tmp_path / "folder.xml"
    folder.mkdir()
    with pytest.raises(ValueError, match=r"folder\.xml is a folder: give the name"):
        quantize(source, crops, TILE, folder)
    folder.rmdir()
    fixed = find_source(kd.build("r18_d16", 2, input_shape=(96, 96, 3)))
    with pytest.raises(ValueError, match="takes only images of height 96, got 64"):
        quantize(fixed, crops, TILE, path)
    assert os.listdir(tmp_path) == []


def test_without_nncf(source, crops, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)  # imports of it fail
    with pytest.raises(ValueError, match=r'pip install "keras-deeplab\[int8\]"'):
        quantize(source, crops, TILE, tmp_path / "model.xml")


def test_nncf_sends_nothing():
    code = """
import sys
from keras_deeplab.runtimes.openvino_runtime import import_nncf
import_nncf()
assert "openvino_telemetry" not in sys.modules and "nncf.telemetry" in sys.modules
from nncf.telemetry.wrapper import telemetry
print(telemetry)
"""
    output, _ = run_python(code)
    assert "Stub" in output or "Mock" in output
