"""`evaluate`, `compare` and `measure` as users call them."""

import json
import shlex
import shutil

import jsonschema
import numpy as np
import pytest
from in_process import run
from PIL import Image

import keras_deeplab as kd
from keras_deeplab._internal import resources
from keras_deeplab.publishing.card_results import record_key
from keras_deeplab.publishing.cards import card_text


def test_evaluate_names_its_protocol(trained, images, tmp_path):
    numbers, page = tmp_path / "numbers.json", tmp_path / "report.html"
    command = ("evaluate", trained, *images, "--json", numbers)
    said = run(*command, "--window", 512, "--stride", 384, "--report", page).output
    found = json.loads(numbers.read_text())
    assert found["protocol"]["name"] == "whole_scene"
    assert "Protocol whole_scene. Each image is predicted by windows of 512 x 512" in said
    assert f"mIoU {found['mIoU']:.4f}" in said and "3 images" in said
    assert np.array(found["confusion"]).shape == (2, 2)
    text = page.read_text()
    assert "scene_1.png" in text and "--window 512 --stride 384 --report" in text
    run(*command, "--protocol", "whole_scene")
    assert json.loads(numbers.read_text()) == found
    run(*command, "--flip", "--test-scale", 96, 64)
    custom = json.loads(numbers.read_text())["protocol"]
    assert custom["name"] == "custom" and custom["test_size"] == [96, 64]


@pytest.mark.parametrize("runtime", ["keras", "openvino"])
def test_figures_name_runtime_and_precision(trained, images, tmp_path, runtime):
    run(
        *("evaluate", trained, *images, "--runtime", runtime, "--precision", "bfloat16"),
        *("--json", tmp_path / "numbers.json", "--report", tmp_path / "report.html"),
    )
    found = json.loads((tmp_path / "numbers.json").read_text())
    assert (found["runtime"], found["precision"]) == (runtime, "bfloat16")
    assert f"Computed by {runtime} in bfloat16." in (tmp_path / "report.html").read_text()


def test_compare(trained, images, tmp_path):
    numbers = tmp_path / "numbers.json"
    command = ("compare", trained, trained, *images, "--protocol-b", "whole_scene")
    said = run(*command, "--flip", "--json", numbers).output
    found = json.loads(numbers.read_text())
    assert found["first"]["protocol"]["flip"] and not found["second"]["protocol"]["flip"]
    assert (
        "A: " in said and "protocol whole_scene" in said and f"{found['first']['mIoU']:.4f}" in said
    )
    result = run("compare", trained, "r18_dubai", *images, check=False)
    assert "roof, pool; r18_dubai building, land" in result.output


def test_what_does_not_fit_is_said(trained, images, labelled_folder):
    result = run("evaluate", trained, *images, "--protocol", "published", "--flip", check=False)
    assert "--protocol cannot be combined with --flip" in result.output
    classes = ("--classes", labelled_folder / "classes.json")
    result = run("evaluate", "r18_dubai", *images, *classes, check=False)
    assert "r18_dubai building, land, road" in " ".join(result.output.split())
    Image.fromarray(np.zeros((20, 48, 3), "uint8")).save(labelled_folder / "images/scene_1.png")
    Image.fromarray(np.zeros((20, 48, 3), "uint8")).save(labelled_folder / "masks/scene_1.png")
    result = run("evaluate", trained, *images, check=False)
    assert result.exit_code == 1
    assert "scene_1.png: Image height is 20 pixels" in " ".join(result.output.split())


def test_a_broken_image_is_named(trained, images, labelled_folder, monkeypatch):
    """One that is damaged after it was checked."""
    from keras_deeplab.data.files import folder

    path = labelled_folder / "images/scene_2.png"
    checked = folder.check_pairs

    def check_and_damage(*arguments):
        result = checked(*arguments)
        path.write_bytes(path.read_bytes()[:200])
        return result

    monkeypatch.setattr(folder, "check_pairs", check_and_damage)
    result = run("evaluate", trained, *images, check=False)
    assert result.exit_code == 1 and "scene_2.png" in result.output
    assert "Traceback" not in result.output


@pytest.mark.long
def test_measure_renews_an_entry(images, labelled_folder, tmp_path, monkeypatch):
    """Two classes of r18_dubai stand for those of the images."""
    zoo = shutil.copytree(resources.zoo_dir(), tmp_path / "zoo")
    entry = kd.info("r18_dubai")
    colors = {(255, 0, 0): entry["classes"][0]["rgb"], (0, 0, 255): entry["classes"][1]["rgb"]}
    for path in (labelled_folder / "masks").iterdir():
        mask = np.asarray(Image.open(path)).copy()
        for old, new in colors.items():
            mask[(mask == old).all(-1)] = new
        Image.fromarray(mask).save(path)
    run("measure", "r18_dubai", *images, "--protocol", "whole_scene", "--zoo", zoo)
    said = run("measure", "r18_dubai", *images, "--protocol", "published", "--zoo", zoo).output
    manifest = json.loads((zoo / "manifest.json").read_text())
    jsonschema.validate(manifest, json.loads((zoo / "manifest.schema.json").read_text()))
    renewed = manifest["models"]["r18_dubai"]
    assert list(map(record_key, renewed["measured"])) == list(map(record_key, entry["measured"]))
    assert renewed["measured"][1] == entry["measured"][1]  # published_ms_flip
    assert renewed["measured"][3:] == entry["measured"][3:]  # other precisions
    records = {record["protocol"]["name"]: record for record in renewed["measured"][:3]}
    assert (zoo / "cards/r18_dubai.md").read_text() == card_text("r18_dubai", renewed)
    for name in ("published", "whole_scene"):
        record = records[name]
        assert record["images"] == 3 and record["classes_present"] == 2
        assert "scene_0.png" in (zoo / f"cards/r18_dubai/{name}.html").read_text()
    assert f"published, float32: mIoU {records['published']['mIoU']:.4f}" in said
    # The stored command prints the stored number.
    command = shlex.split(records["published"]["command"])
    assert f"mIoU {records['published']['mIoU']:.4f}" in run(*command[1:]).output
    with Image.open(zoo / "cards/r18_dubai/confusion.png") as picture:
        picture.verify()


def test_measure_wants_an_entry(images, trained):
    result = run("measure", trained, *images, check=False)
    assert result.exit_code == 1 and "unknown zoo model" in result.output.lower()
