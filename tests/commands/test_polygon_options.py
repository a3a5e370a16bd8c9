"""Scenes with polygons as labels in the commands, as users give them."""

import json

import numpy as np
import pytest
from in_process import run
from PIL import Image
from polygons import blobs, burnt, write_polygons
from rasterio import Affine
from rasters import PLACE, write_raster
from shapely.affinity import affine_transform

from keras_deeplab.zoo.finding import find_model
from keras_deeplab.zoo.loader import load

SHAPE = (150, 170)
TRANSFORM = PLACE["transform"]


@pytest.fixture
def town(tmp_path, tiny_networks):
    """A scene to train on, one to validate on, and the polygons of both: houses and ponds."""
    random = np.random.default_rng(0)
    shapes = blobs(14, 2 * SHAPE[1], SHAPE[0])
    kinds = np.where(np.arange(14) % 3, "house", "pond").astype(object)
    whole = burnt(
        shapes, np.where(kinds == "house", 1, 2), (SHAPE[0], 2 * SHAPE[1]), Affine.identity()
    )
    for name, left in (("west", 0), ("east", SHAPE[1])):
        label = whole[:, left : left + SHAPE[1]]
        image = random.integers(0, 90, (*SHAPE, 3)) + 80 * label[..., np.newaxis]
        place = Affine(0.5, 0, TRANSFORM.c + 0.5 * left, 0, -0.5, TRANSFORM.f)
        write_raster(tmp_path / f"{name}.tif", image.astype(np.uint8), transform=place)
    a, b, c, d, e, f, *_ = TRANSFORM
    drawn = [affine_transform(shape, (a, b, d, e, c, f)) for shape in shapes]
    write_polygons(tmp_path / "town.gpkg", drawn, PLACE["crs"], kind=kinds)
    classes = [{"name": name} for name in ("background", "house", "pond")]
    (tmp_path / "classes.json").write_text(json.dumps({"classes": classes}))
    return tmp_path, whole


def labels(folder, *scenes):
    images = [word for scene in scenes for word in ("--images", folder / f"{scene}.tif")]
    return (*images, "--labels", folder / "town.gpkg", "--class-field", "kind")


def train(*options, check=True):
    short = ("--steps", 2, "--crop", 32, "--batch", 2, "--no-aux-head")
    return run("train", "--model", "r18_d16", *short, *options, check=check)


def test_a_training_says_what_it_found_and_is_repeated(town, tmp_path, caplog):
    folder, whole = town
    output = tmp_path / "run"
    val = ("--val-images", folder / "east.tif")
    result = train(*labels(folder, "west"), *val, "--output", output)
    assert "Validation scenes overlap" not in caplog.text
    west, east = whole[:, : SHAPE[1]], whole[:, SHAPE[1] :]
    for name, part in (("train", west), ("val", east)):
        shares = ", ".join(
            f"{kind} {(part == index).mean():.1%}"
            for index, kind in enumerate(("background", "house", "pond"))
        )
        line = next(line for line in result.stderr.splitlines() if line.startswith(name))
        assert line.startswith(f"{name}: 1 scene, 0.637 ha labelled, ")  # 25,500 pixels of 0.5 m
        assert " of 14 polygons, " in line
        assert line.endswith(f"; {shares}; 0.0% of all pixels ignored.")
    metadata = find_model(output).metadata
    assert metadata.classes.names == ("background", "house", "pond")
    assert metadata.resolution_m == pytest.approx(0.5, rel=1e-3)
    record = json.loads((output / "run.json").read_text())
    assert record["data"]["train"]["files"] == record["data"]["val"]["files"] == 2
    assert record["options"]["labels"] == str(folder / "town.gpkg")

    run("evaluate", output, *labels(folder, "east"), "--json", tmp_path / "metrics.json")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    counted = np.sum(metrics["confusion"], axis=1)
    np.testing.assert_array_equal(counted, np.bincount(east.ravel(), minlength=3))

    again = train("--from-run", output, "--output", tmp_path / "again")
    assert "files are not those" not in caplog.text and "train: 1 scene" in again.stderr
    for first, second in zip(
        load(output).get_weights(), load(tmp_path / "again").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(first, second)


def test_a_run_is_resumed_with_the_same_labels(town, tmp_path):
    folder, _ = town
    output = tmp_path / "run"
    options = (*labels(folder, "west", "east"), "--output", output)
    train(*options)
    finished = load(output).get_weights()
    train(*options, "--resume")
    for first, second in zip(finished, load(output).get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
    failed = train(*options, "--resume", "--all-touched", check=False)
    assert "Cannot resume with other options" in failed.output
    assert "all_touched: None there, True here" in failed.output


def test_the_classes_of_a_start_are_matched_by_name(town, tmp_path, caplog):
    folder, whole = town
    table = tmp_path / "table.json"
    table.write_text('{"classes": [{"name": "pond"}, {"name": "wood"}, {"name": "house"}]}')
    options = labels(folder, "west")
    result = train(*options, "--classes", table, "--output", tmp_path / "first")
    ignored = (whole[:, : SHAPE[1]] == 0).mean()  # no class background
    assert "wood 0.0%, house" in result.stderr and f"{ignored:.1%} of all pixels" in result.stderr
    val = ("--val-images", folder / "west.tif")
    train(*options, "--init", tmp_path / "first", "--output", tmp_path / "second", *val)
    assert "Validation scenes overlap scenes of the training" in caplog.text
    assert find_model(tmp_path / "second").metadata.classes.names == ("pond", "wood", "house")
    table.write_text('{"classes": [{"name": "pond"}, {"name": "wood"}]}')
    failed = train(*options, "--classes", table, "--output", tmp_path / "third", check=False)
    assert "values that are not classes (pond, wood):\n  'house' in 9 polygons" in failed.output


def test_a_scene_of_another_resolution_is_evaluated_at_that_of_the_training(town, tmp_path, caplog):
    folder, _ = town
    output = tmp_path / "run"
    train(*labels(folder, "west"), "--resolution", 1, "--output", output)
    assert find_model(output).metadata.resolution_m == 1
    run("evaluate", output, *labels(folder, "east"))
    assert "The scenes are read at 1 m per pixel, as those of the training" in caplog.text


def test_labels_are_checked_before_a_training(town, tmp_path, monkeypatch):
    folder, whole = town
    monkeypatch.setenv("COLUMNS", "200")
    result = run(
        "prepare", "--check", *labels(folder, "west", "east"), "--output", tmp_path / "new"
    )
    pixels = [f"{count:,}" for count in np.bincount(whole.ravel())]
    assert all(number in result.output for number in pixels) and "2 scenes" in result.output
    weights = result.output.split("--class-weights ")[1].split()[0]
    assert len(weights.split(",")) == 3
    with Image.open(tmp_path / "new/labels.png") as sheet:
        assert sheet.width > 600
    failed = run("prepare", *labels(folder, "west"), check=False)
    assert "Name a dataset, or give --check and images with labels" in failed.output
    failed = run("prepare", "potsdam", "--check", *labels(folder, "west"), check=False)
    assert "but not both" in failed.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--labels",), "Give them with --images and --labels, without masks"),
        ((), "Give --images and --masks or --labels, or --pairs, or --dataset."),
        (("--images", "--all-touched"), "--all-touched: only for scenes whose labels"),
        (
            ("--images", "--masks", "--labels"),
            "--labels: only for scenes whose labels",
        ),
        (("--images", "--masks"), "west.tif is not a folder. With --masks, name folders"),
        (("--images", "--labels", "--val-labels"), "Give them with --val-images and --val-labels"),
        (("--dataset", "--labels"), "--labels: only for scenes whose labels"),
        (("--images", "--labels", "--scale"), "--scale cannot be combined with scenes"),
        (("--images", "--labels", "--burn-order"), "there is no field 'height'. Fields: kind"),
    ],
)
def test_options_that_do_not_fit(town, tmp_path, options, message):
    folder, _ = town
    values = {
        "--images": [folder / "west.tif"],
        "--labels": [folder / "town.gpkg"],
        "--val-labels": [folder / "town.gpkg"],
        "--masks": [folder],
        "--dataset": ["potsdam"],
        "--scale": [512, 512],
        "--burn-order": ["height"],
    }
    given = [word for option in options for word in (option, *values.get(option, ()))]
    result = train(*given, "--output", tmp_path / "run", check=False)
    assert result.exit_code != 0 and message in " ".join(result.output.split())
    assert not (tmp_path / "run").exists()
