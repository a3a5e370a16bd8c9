"""`measure` in several precisions: one record of each, and the int8 file that it makes."""

import importlib.util
import json
import shlex
import shutil

import jsonschema
import numpy as np
import pytest
from in_process import run
from PIL import Image

import keras_deeplab as kd
from keras_deeplab._internal.files import file_sha256, write_json
from keras_deeplab._internal.resources import zoo_dir
from keras_deeplab.checkpoints.keras_files import save_keras_weights
from keras_deeplab.publishing.card_results import record_key
from keras_deeplab.publishing.cards import card_text
from keras_deeplab.zoo import manifest

NAME = "r18_dubai"
without_nncf = pytest.mark.skipif(
    importlib.util.find_spec("nncf") is None, reason="needs the extra [int8]"
)


@pytest.fixture
def zoo(tmp_path, tiny_networks):
    """A zoo of one entry, with weights of the tiny network and older figures."""
    folder = tmp_path / "zoo"
    content = json.loads((zoo_dir() / "manifest.json").read_text())
    entry = content["models"][NAME]
    weights = folder / entry["weights"]["file"]
    weights.parent.mkdir(parents=True)
    save_keras_weights(kd.build(entry["variant"], 5), weights, dtype="float16")
    entry["weights"] |= {"sha256": file_sha256(weights), "bytes": weights.stat().st_size}
    old = entry["measured"][0]  # published, float32
    entry["measured"] = [old, {**old, "precision": "bfloat16"}]
    write_json(folder / "manifest.json", {**content, "models": {NAME: entry}})
    return folder


@pytest.fixture
def images(tmp_path):
    """Two labelled images of the classes of the entry."""
    rng = np.random.default_rng(0)
    colors = np.array([item["rgb"] for item in kd.info(NAME)["classes"]], "uint8")
    for index in range(2):
        labels = rng.integers(0, 5, (8, 10)).repeat(8, 0).repeat(8, 1)
        noise = rng.integers(0, 40, (*labels.shape, 3))
        for folder, image in (("images", colors[labels] // 2 + noise), ("masks", colors[labels])):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(image.astype("uint8")).save(tmp_path / folder / f"{index}.png")
    return ("--images", tmp_path / "images", "--masks", tmp_path / "masks")


def measured(zoo):
    """The entry, after checking it against the schema, and its card."""
    content = json.loads((zoo / "manifest.json").read_text())
    jsonschema.validate(content, json.loads((zoo_dir() / "manifest.schema.json").read_text()))
    entry = content["models"][NAME]
    assert (zoo / f"cards/{NAME}.md").read_text() == card_text(NAME, entry)
    item = json.loads((zoo / f"cards/{NAME}.stac.json").read_text())
    rows = item["properties"]["keras_deeplab:measured"]
    assert [row["precision"] for row in rows] == [row["precision"] for row in entry["measured"]]
    return entry


def test_one_record_of_each_precision(zoo, images):
    before = kd.info(NAME)["measured"][0]
    options = ("--zoo", zoo, "--runtime", "openvino", "--precision", "bfloat16")
    said = run("measure", NAME, *images, *options, "--protocol", "published").output
    entry = measured(zoo)
    assert [record_key(record) for record in entry["measured"]] == [
        ("published", "float32"),
        ("published", "bfloat16"),
    ]
    old, new = entry["measured"]
    assert old == before and new["images"] == 2 and "openvino" in new["versions"]
    assert f"published, bfloat16: mIoU {new['mIoU']:.4f}" in said
    assert [path.name for path in (zoo / "cards" / NAME).iterdir()] == ["published-bfloat16.html"]
    card = (zoo / f"cards/{NAME}.md").read_text()
    change = 100 * (new["mIoU"] - old["mIoU"])
    assert f"| bfloat16 | openvino | {100 * new['mIoU']:.2f} | {change:+.2f} |" in card
    assert manifest.measured_miou(entry, "published") == 100 * old["mIoU"]


@without_nncf
def test_int8(zoo, images, tmp_path, monkeypatch):
    calibrate = ("--calibrate", tmp_path / "images")
    run("measure", NAME, *images, "--zoo", zoo, "--precision", "int8", *calibrate)
    entry = measured(zoo)
    assert record_key(entry["measured"][-1]) == ("whole_scene", "int8")
    record = entry["measured"][-1]
    how = record["quantization"]
    assert (how["tile"], how["crops"]) == (512, 2)
    assert how["calibration"] == str(tmp_path / "images") and 0.5 < how["agreement"] <= 1
    card = (zoo / f"cards/{NAME}.md").read_text()
    assert how["command"] in card and record["command"] in card and how["calibration"] in card
    # The stored commands print the stored number.
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KERAS_DEEPLAB_RUNTIME")
    monkeypatch.setattr(manifest, "default_zoo", lambda: manifest.Zoo(zoo))
    run(*shlex.split(how["command"])[1:])
    said = run(*shlex.split(record["command"])[1:]).output
    assert f"mIoU {record['mIoU']:.4f}" in said and "int8" in said


@without_nncf
def test_int8_with_the_example_of_the_entry(zoo, images):
    shutil.copytree(zoo_dir() / "examples", zoo / "examples")
    run("measure", NAME, *images, "--zoo", zoo, "--precision", "int8")
    how = measured(zoo)["measured"][-1]["quantization"]
    assert how["calibration"] == "the check image" and "--calibrate" not in how["command"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--precision", "int8", "--protocol", "published"], "only --protocol whole_scene"),
        (["--precision", "int8", "--runtime", "keras"], "is for --runtime openvino, not keras"),
        (["--calibrate", "."], "--calibrate: only for --precision int8"),
    ],
)
def test_options_that_do_not_fit(zoo, images, options, message):
    before = (zoo / "manifest.json").read_bytes()
    result = run("measure", NAME, *images, "--zoo", zoo, *options, check=False)
    assert result.exit_code == 2 and message in " ".join(result.output.split())
    assert (zoo / "manifest.json").read_bytes() == before
