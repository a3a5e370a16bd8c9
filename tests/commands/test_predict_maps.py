"""`predict --output map.tif`: georeferenced maps of scenes, as users call it."""

import csv
import json

import numpy as np
import pytest
import rasterio
from in_process import run
from rasters import PLACE, damage_block, write_raster
from toy import toy_labels, toy_models

import keras_deeplab as kd
from keras_deeplab.checkpoints.keras_files import save_keras_weights

rng = np.random.default_rng(0)


@pytest.fixture
def toy():
    with toy_models(resolution_m=0.5):
        yield


def picture(*shape):
    return rng.integers(1, 255, shape).astype("uint8")


def predict(*arguments, **options):
    return run("predict", *arguments, "--model", "toy", **options)


def read(path):
    with rasterio.open(path) as raster:
        return raster.read(1)


def test_a_real_network(tmp_path, tiny_networks):
    """A run folder, and the model of the function: both give the classes of the whole image."""
    network = kd.build("r18_d16", 5)
    save_keras_weights(network, tmp_path / "last.weights.h5")
    classes = {"classes": kd.info("r18_dubai")["classes"]}
    record = {"version": 2, **network.metadata.to_json(), **classes}
    (tmp_path / "run.json").write_text(json.dumps(record))
    image = picture(64, 80, 3)
    write_raster(tmp_path / "scene.tif", image)
    expected = kd.predict(network, image).argmax(-1)
    assert len(np.unique(expected)) > 2
    options = ("--model", tmp_path, "--resolution", "native")
    run("predict", tmp_path / "scene.tif", *options, "--output", tmp_path / "map.tif")
    np.testing.assert_array_equal(read(tmp_path / "map.tif"), expected)
    with rasterio.open(tmp_path / "map.tif") as written:
        assert written.tags()["KERAS_DEEPLAB_MODEL"] == str(tmp_path)
        assert '"' + record["classes"][0]["name"] + '"' in (tmp_path / "map.qml").read_text()
    kd.predict_raster(kd.load(tmp_path), tmp_path / "scene.tif", tmp_path / "function.tif")
    np.testing.assert_array_equal(read(tmp_path / "function.tif"), expected)


def test_the_same_figures_everywhere(tmp_path, toy):
    image = picture(600, 700, 3)
    image[:100] = 0
    web = {"crs": "EPSG:3857"}
    transform = rasterio.transform.from_origin(1_000_000, 8_399_738, 1, 1)  # 60 degrees north
    write_raster(tmp_path / "scene.tif", image, nodata=0, transform=transform, **web)
    result = predict(
        *(tmp_path / "scene.tif", "--output", tmp_path / "map.tif"),
        *("--json", tmp_path / "areas.json", "--csv", tmp_path / "areas.csv"),
    )
    labels = read(tmp_path / "map.tif")
    np.testing.assert_array_equal(labels, toy_labels(image, (image != 0).any(-1)))
    summary = json.loads((tmp_path / "areas.json").read_text())
    with open(tmp_path / "areas.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [line.split("│") for line in result.output.splitlines() if "│" in line]
    table = {cells[1].strip(): [cell.strip() for cell in cells[2:-1]] for cells in lines}
    heads = next(line for line in result.output.splitlines() if "class" in line)
    assert "hectares" in heads
    for index, row in enumerate(summary["classes"]):
        pixels = int((labels == index).sum())
        assert row["pixels"] == int(rows[index]["pixels"]) == pixels
        assert row["hectares"] == float(rows[index]["hectares"])
        assert row["hectares"] == pytest.approx(pixels / 4e4, rel=5e-3)
        share = f"{row['share']:.1%}"
        assert table[row["name"]] == [f"{pixels:,}", share, f"{row['hectares']:,.2f}"]
        assert rows[index]["image"] == str(tmp_path / "scene.tif")
    assert table["no data"][0] == "70,000" and summary["nodata_pixels"] == 70_000
    again = kd.predict_raster(
        toy_predictor_of_command(), tmp_path / "scene.tif", tmp_path / "again.tif", progress=False
    )
    assert again["classes"] == summary["classes"]


def toy_predictor_of_command():
    from keras_deeplab.runtimes import compiling

    return compiling.compile_for_inference("toy")


def test_a_scene_without_crs_has_no_hectares(tmp_path, toy, caplog):
    write_raster(tmp_path / "scene.tif", picture(64, 64, 3), crs=None)
    options = ("--json", tmp_path / "areas.json")
    result = predict(tmp_path / "scene.tif", "--output", tmp_path / "map.tif", *options)
    assert "hectares" not in result.output and "share" in result.output
    assert "resolution of the scene is unknown" in caplog.text
    rows = json.loads((tmp_path / "areas.json").read_text())["classes"]
    assert [row["hectares"] for row in rows] == [None] * 3


def test_several_scenes_become_one_map_or_one_each(tmp_path, toy):
    image = picture(100, 200, 3)
    right = rasterio.transform.from_origin(300_000 + 60, 2_800_000, 0.5, 0.5)
    write_raster(tmp_path / "left.tif", image[:, :130])
    write_raster(tmp_path / "right.tif", image[:, 120:], transform=right)
    scenes = (tmp_path / "right.tif", tmp_path / "left.tif")
    predict(*scenes, "--output", tmp_path / "map.tif")
    np.testing.assert_array_equal(read(tmp_path / "map.tif"), toy_labels(image))
    result = predict(*scenes, "--output", tmp_path / "maps", "--json", tmp_path / "areas.json")
    np.testing.assert_array_equal(read(tmp_path / "maps" / "left.tif"), toy_labels(image[:, :130]))
    np.testing.assert_array_equal(read(tmp_path / "maps" / "right.tif"), toy_labels(image[:, 120:]))
    assert set(json.loads((tmp_path / "areas.json").read_text())) == {str(path) for path in scenes}
    assert "left.tif" in result.output and "right.tif" in result.output


@pytest.mark.parametrize(
    "options, words",
    [
        (("--output", "maps", "--confidence", "c.tif"), "for one map"),
        (("--output", "map.tif", "--mask", "m.png"), "--mask is for pictures"),
        (("--output", "map.tif", "--stride", "64"), "--stride is for pictures"),
        (("--output", "map.tif", "--resolution", "fine"), "'fine' is neither"),
        (("--output", "map.png"), "Several images need"),
        (("--output", "."), "scene itself"),
        (("--output", "map.tif", "--bands", "1,2,7"), "no band 7"),
        (("--output", "map.tif", "--bands", "1,2"), "takes 3 channels"),
        (("--output", "map.tif", "--value-range", "0", "4095"), "8-bit"),
        (("--output", "map.jpg.tif", "--confidence", "c.png"), "ends in .tif"),
        (("--output", "twice"), "Several images would write scene.tif"),
    ],
)
def test_mistakes_are_known_before_any_work(tmp_path, toy, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    scenes = ["scene.tif", "b/scene.tif" if options[1] == "twice" else "other.tif"]
    for path in scenes:
        write_raster(tmp_path / path, picture(64, 64, 3))
    before = sorted(tmp_path.rglob("*"))
    result = predict(*scenes, *options, check=False)
    assert result.exit_code in (1, 2) and words in result.output.replace("\n", " ")
    assert "Traceback" not in result.output and sorted(tmp_path.rglob("*")) == before


def test_other_grids_are_refused_in_one_line(tmp_path, toy):
    write_raster(tmp_path / "a.tif", picture(64, 64, 3))
    write_raster(tmp_path / "b.tif", picture(64, 64, 3), crs="EPSG:32639")
    result = predict(
        *(tmp_path / "a.tif", tmp_path / "b.tif", "--output", tmp_path / "map.tif"), check=False
    )
    assert result.exit_code == 1 and "gdalbuildvrt" in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_other_channels_are_warned_of(tmp_path, toy, caplog):
    write_raster(tmp_path / "scene.tif", picture(64, 64, 3))
    options = ("--output", tmp_path / "map.tif", "--bands", "3,2,1")
    predict(tmp_path / "scene.tif", *options)
    assert "is read as blue, green, red" in caplog.text


def test_bad_blocks(tmp_path, toy):
    image = np.random.default_rng(1).integers(1, 9, (384, 384, 3)).astype("uint8")
    tiles = {"tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "deflate"}
    write_raster(tmp_path / "scene.tif", image, interleave="pixel", **tiles)
    damage_block(tmp_path / "scene.tif", 1, 1)
    options = (tmp_path / "scene.tif", "--output", tmp_path / "map.tif")
    result = predict(*options, check=False)
    assert result.exit_code == 1 and "--on-bad-block nodata" in result.output
    assert "row" in result.output and not (tmp_path / "map.tif").exists()
    result = predict(*options, "--on-bad-block", "nodata")
    assert "16,384 pixels" in result.output and "could not be read" in result.output
    labels = read(tmp_path / "map.tif")
    assert (labels[128:256, 128:256] == 255).all() and (labels == 255).sum() == 128**2


def test_options_reach_the_map(tmp_path, toy):
    image = picture(200, 220, 3)
    image[50:90, 30:80] = 255
    write_raster(tmp_path / "scene.tif", image)
    predict(
        *(tmp_path / "scene.tif", "--output", tmp_path / "map.tif", "--nodata", "255"),
        *("--window", "96", "--overlap", "24", "--resolution", "0.5", "--flip"),
        *("--confidence", tmp_path / "c.tif", "--probabilities", tmp_path / "p.tif"),
    )
    with rasterio.open(tmp_path / "map.tif") as written:
        tags = written.tags()
        assert written.crs == PLACE["crs"]
    assert tags["KERAS_DEEPLAB_WINDOW"] == "96, overlap 24"
    assert tags["KERAS_DEEPLAB_FLIP"] == "True"
    labels = read(tmp_path / "map.tif")
    assert (labels[50:90, 30:80] == 255).all() and (read(tmp_path / "c.tif") <= 100).any()
    with rasterio.open(tmp_path / "p.tif") as written:
        assert written.count == 3
