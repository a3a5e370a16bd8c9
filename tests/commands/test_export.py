"""`keras-deeplab export` as users run it."""

import json

import numpy as np
import pytest
from in_process import run
from PIL import Image
from runtimes.foreign_readers import NAMES, stored_record
from runtimes.runtime_cases import write_run
from tiny import tiny_networks


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    image = np.random.default_rng(0).integers(0, 256, (70, 64, 3), "uint8")
    write_run(folder, check_image=image)
    return folder


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("tiny_networks")
def test_each_format(trained, tmp_path, caplog, name):
    path = tmp_path / NAMES[name]
    result = run("export", trained, "--format", name, "--output", path, "--tile", 64)
    title, images, results, checked = result.stdout.splitlines()
    assert title.startswith(f"{path}: ")
    sides = {"onnx": "N x 3 x 64 x 64 (NCHW), float32, 0..1, RGB"}.get(name)
    batch = 1 if name == "litert" else "N"
    size = "height x width" if name == "keras" else "64 x 64"
    assert images.split(maxsplit=1) == [
        "input",
        sides or f"{batch} x {size} x 3 (NHWC), float32, 0..255, RGB",
    ]
    assert ("probabilities" if name == "onnx" else "logits") in results
    assert "(class_0, class_1, class_2)" in results
    record = stored_record(name, path)["export"]
    share = record["agreement"]["equal_classes"]
    assert checked.startswith(f"  checked  {share:.3%} of ") and "(check image)" in checked
    assert f"{record['agreement']['largest_difference']:.1e}" in checked
    assert ("ground resolution" in caplog.text) == (name == "onnx")


@pytest.mark.usefixtures("tiny_networks")
def test_options_and_prediction(trained, tmp_path, monkeypatch):
    """The format by the suffix; the file predicts what the run does."""
    monkeypatch.delenv("KERAS_DEEPLAB_RUNTIME")
    path = tmp_path / "model.onnx"
    run("export", trained, "--output", path, "--raw", "--dynamic", "--tile", 64)
    record = stored_record("onnx", path)["export"]
    assert (record["layout"], record["dynamic"], record["output"]) == ("NHWC", True, "logits")
    qgis = tmp_path / "qgis.onnx"
    run("export", trained, "--output", qgis, "--tile", 64)
    image = np.random.default_rng(1).integers(0, 256, (80, 96, 3), "uint8")
    Image.fromarray(image).save(tmp_path / "image.png")
    shares = []
    for model in (trained, path, qgis):
        target = tmp_path / "areas.json"
        run(
            *("predict", tmp_path / "image.png", "--model", model, "--json", target),
            *("--window", 64, "--runtime", "keras" if model == trained else "auto"),
        )
        summary = json.loads(target.read_text())
        shares.append([row["pixels"] for row in summary["classes"]])
    np.testing.assert_allclose(shares[1:], shares[:1] * 2, atol=5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "model"], "the suffix names no format"),
        (["--output", "model.onnx", "--format", "torch"], "is not one of 'onnx', 'openvino'"),
        (["--output", "model.onnx", "--tile", "31"], "31 is not in the range x>=32"),
        (["--output", "model.xml", "--raw"], "raw (--raw) is for onnx"),
        ([], "Missing option '--output'"),
    ],
)
def test_mistakes(trained, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    with tiny_networks():
        failed = run("export", trained, *options, check=False)
    assert failed.exit_code and message in failed.output
    assert not list(tmp_path.iterdir())
