"""Validation by place as users ask `train` for it: kept by a run, shown, and evaluated again."""

import json

import numpy as np
import pytest
from fakes.roofs import SIDE, geojson, ground_box, write_scene
from in_process import run
from PIL import Image

import keras_deeplab as kd


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return write_scene(tmp_path_factory.mktemp("scene"))


def training(scene, output, *options):
    return (
        *("train", "--model", "r18_d16", "--images", scene / "a.tif"),
        *("--labels", scene / "roofs.geojson", "--steps", 2, "--crop", 32, "--batch", 2),
        *("--no-aux-head", "--output", output, *options),
    )


@pytest.mark.long
def test_blocks_of_a_scene(scene, tmp_path, tiny_networks):
    output = tmp_path / "run"
    options = ("--val-fraction", 0.15, "--val-blocks", 2, "--val-seed", 3)
    said = run(*training(scene, output, *options)).output
    assert f"Validation ground: {output / 'validation.png'}" in said
    train, val = (line for line in said.splitlines() if line.startswith(("train:", "val:")))
    assert "% of all pixels ignored" in train and "% of all pixels ignored" in val
    record = json.loads((output / "run.json").read_text())
    assert record["settings"]["val_fraction"] == 0.15 and record["options"]["val_seed"] == 3
    assert Image.open(output / "validation.png").size[0] > 500
    assert len((output / "history.csv").read_text().splitlines()) > 1

    run(*training(scene, output, *options), "--resume")
    other = ("--val-fraction", 0.15, "--val-blocks", 2, "--val-seed", 4)
    failed = run(*training(scene, output, *other), "--resume", check=False)
    assert "val_seed: 3 there, 4 here" in failed.output
    again = tmp_path / "again"
    run("train", "--from-run", output, "--output", again)
    ground = (output / "validation.geojson").read_text()
    assert (again / "validation.geojson").read_text() == ground

    # The record of the ground is a labelled area: evaluate counts the same pixels.
    metrics = tmp_path / "metrics.json"
    evaluation = ("evaluate", output, "--images", scene / "a.tif")
    labels = ("--labels", scene / "roofs.geojson")
    area = ("--labelled-area", output / "validation.geojson", "--json", metrics)
    run(*evaluation, *labels, *area)
    confusion = json.loads(metrics.read_text())["confusion"]
    dataset = kd.data.from_rasters(
        scene / "a.tif",
        scene / "roofs.geojson",
        classes=["background", "roofs"],
        place=kd.data.ValidationPlace(fraction=0.15, blocks=2, seed=3, gap=64),
        subset="val",
    )
    found = np.concatenate([label.numpy().ravel() for _, label in dataset])
    assert [sum(row) for row in confusion] == np.bincount(found, minlength=256)[:2].tolist()
    assert 0.1 < sum(map(sum, confusion)) / SIDE**2 < 0.2


def test_an_area_and_scenes(scene, tmp_path, tiny_networks):
    area = geojson(tmp_path / "val.geojson", [ground_box(0, 0, 160, 200)])
    output = tmp_path / "run"
    said = run(*training(scene, output, "--val-area", area)).output
    (line,) = (line for line in said.splitlines() if line.startswith("val:"))
    assert f"{1 - 160 * 200 / SIDE**2:.1%} of all pixels ignored" in line
    record = json.loads((output / "run.json").read_text())
    assert record["settings"]["val_area"] == str(area)
    assert record["data"]["val"]["files"] == 3

    scenes = tmp_path / "scenes"
    write_scene(scenes)
    (scenes / "a.tif").rename(scenes / "b.tif")
    moved = kd.data.ValidationPlace(scenes=(scenes / "b.tif",))
    assert moved.has(scenes / "b.tif")
    failed = run(
        *training(scene, tmp_path / "other", "--val-scenes", scenes / "b.tif"), check=False
    )
    assert "Validation scenes that are not among the scenes" in failed.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--val-fraction", 0.2, "--val-images", "."), "--val-fraction, --val-images cannot be"),
        (("--val-blocks", 3), "--val-blocks: only with --val-fraction"),
        (("--val-fraction", 1), "not in the range 0<x<1"),
    ],
)
def test_wrong_options_are_described(scene, tmp_path, options, message):
    failed = run(*training(scene, tmp_path / "run", *options), check=False)
    assert failed.exit_code and message in " ".join(failed.output.split())


def test_masks_have_no_place(labelled_folder, tmp_path):
    failed = run(
        *("train", "--model", "r18_d16", "--images", labelled_folder / "images", "--masks"),
        *(labelled_folder / "masks", "--classes", labelled_folder / "classes.json"),
        *("--val-fraction", 0.2, "--output", tmp_path / "run"),
        check=False,
    )
    assert "Validation by place needs scenes with polygons as labels" in failed.output
