"""`export --precision int8`, and the commands that take the file."""

import importlib.util
import json
import os

import numpy as np
import pytest
from in_process import run
from PIL import Image
from rasters import write_raster
from runtimes.foreign_readers import stored_record

import keras_deeplab as kd
from keras_deeplab.runtimes import quantizing

if importlib.util.find_spec("nncf") is None:  # not imported here: it would import telemetry
    pytest.skip("needs the extra [int8]", allow_module_level=True)

TILE = 64


def quantization(path):
    return stored_record("openvino", path)["export"]["quantization"]


def export(*arguments):
    return run("export", *arguments, "--tile", TILE, check=False)


@pytest.fixture(autouse=True)
def auto(monkeypatch):
    """`auto` means what it means for users."""
    monkeypatch.delenv("KERAS_DEEPLAB_RUNTIME")
    monkeypatch.delenv("KERAS_DEEPLAB_PRECISION")


@pytest.fixture
def arguments(trained, labelled_folder, tmp_path):
    calibrate = ("--calibrate", labelled_folder / "images")
    return (trained, "--precision", "int8", *calibrate, "--output", tmp_path / "out" / "model.xml")


def miou(model, images, tmp_path, *options):
    """mIoU as `evaluate` prints it."""
    run("evaluate", model, *images, "--window", TILE, *options, "--json", tmp_path / "found.json")
    found = json.loads((tmp_path / "found.json").read_text())
    return found["mIoU"], found["precision"], found["runtime"]


def test_miou_before_and_after(arguments, images, trained, tmp_path):
    said = export(*arguments, *images, "--accept-loss").output
    path = tmp_path / "out" / "model.xml"
    float32, *_ = miou(trained, images, tmp_path, "--runtime", "openvino")
    int8, *how = miou(path, images, tmp_path)  # its own precision, though the default is float32
    assert how == ["int8", "openvino"]
    assert f"mIoU {float32:.4f} in float32, {int8:.4f} in int8" in said
    found = quantization(path)
    assert (found["float32"], found["int8"]) == pytest.approx((float32, int8), abs=1e-9)


def test_a_loss_is_refused(arguments, images, tmp_path, monkeypatch):
    monkeypatch.setattr(quantizing, "MOST_LOSS", -1.0)  # any score is too low
    result = export(*arguments, *images)
    assert result.exit_code != 0 and "nothing is written" in result.output
    assert os.listdir(tmp_path / "out") == []
    assert export(*arguments, *images, "--accept-loss").exit_code == 0


def test_without_labels_it_is_not_an_accuracy(arguments, labelled_folder, tmp_path):
    result = export(*arguments)
    assert result.exit_code == 0, result.exception
    path = tmp_path / "out" / "model.xml"
    record = stored_record("openvino", path)["export"]
    share = record["agreement"]["equal_classes"]
    assert f"{share:.3%} of 20,480 pixels have the class of float32" in result.output
    assert "not an accuracy" in result.output and record["quantization"]["int8"] is None
    assert record["quantization"]["calibration"] == str(labelled_folder / "images")
    image = labelled_folder / "images" / "scene_1.png"  # smaller than the tile
    run("predict", image, "--model", path, "--mask", tmp_path / "mask.png")
    pixels = np.asarray(Image.open(image))
    expected = kd.predict(kd.compile_for_inference(path), pixels).argmax(-1)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "mask.png")), expected)


def test_the_check_image_calibrates(arguments, trained, tmp_path):
    without = (*arguments[:3], *arguments[5:])
    result = export(*without)
    assert result.exit_code != 0 and "no check image" in result.output
    pixels = np.random.default_rng(0).integers(0, 256, (70, 64, 3), "uint8")
    Image.fromarray(pixels).save(trained / "check_image.tif")
    assert export(*without).exit_code == 0
    found = quantization(tmp_path / "out" / "model.xml")
    assert (found["crops"], found["calibration"]) == (2, "the check image")


def test_calibration_images_with_other_bands(arguments, labelled_folder, tmp_path):
    path = labelled_folder / "images" / "scene_9.tif"
    write_raster(path, np.zeros((64, 64, 4), "uint8"), photometric="MINISBLACK")
    result = export(*arguments)
    assert result.exit_code != 0 and f"{path} has 4 bands" in result.output
    assert not (tmp_path / "out").exists()


def test_options_that_do_not_fit(trained, images, arguments, tmp_path):
    file = ("--output", tmp_path / "model.xml")
    result = export(trained, *images, "--accept-loss", *file)
    assert result.exit_code == 2
    assert "--accept-loss, --images, --masks: only for --precision int8" in result.output
    result = export(*arguments, "--format", "onnx")
    assert result.exit_code == 2 and "int8 is for --format openvino, not onnx" in result.output
    result = export(*arguments, "--dynamic")
    assert result.exit_code == 2 and "--dynamic and --raw are not for" in result.output
    result = export(tmp_path / "other.xml", *arguments[1:])
    assert result.exit_code == 1 and "other.xml is converted already: " in result.output
    assert not list(tmp_path.glob("**/*.xml"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--accept-loss"], "--accept-loss: only with labelled images"),
        (["--mask-suffix", "_mask"], "--mask-suffix: only with labelled images"),
        (["--bands", "3,2,1"], "--bands: only with --calibrate or labelled images"),
    ],
)
def test_options_that_would_do_nothing(trained, tmp_path, options, message):
    output = tmp_path / "out" / "model.xml"
    result = export(trained, "--precision", "int8", *options, "--output", output)
    assert result.exit_code == 2 and message in " ".join(result.output.split())
    assert not output.parent.exists()
