"""`predict --output FOLDER` and `--aoi`, as users call them."""

import json

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from in_process import run
from rasters import PLACE, damage_block, write_raster
from shapely.geometry import box
from toy import toy_labels, toy_models

from keras_deeplab.runtimes import compiling

rng = np.random.default_rng(0)
TILES = {"tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "deflate"}


@pytest.fixture
def calls():
    """The toy, whose weights are known; a list of the images that it is shown."""
    shown = []
    with toy_models(lambda images: shown.append(1) or images, resolution_m=0.5):
        compiling.compile_for_inference("toy").weights_sha256 = lambda: "0" * 64
        yield shown


@pytest.fixture
def scenes(tmp_path, monkeypatch):
    """A folder of three scenes and other files, as the current directory has it."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "scenes"
    for name, size in (("town2.tif", (90, 80)), ("town10.tif", (70, 150)), ("wood.TIF", (64, 64))):
        write_raster(folder / name, rng.integers(1, 255, (*size, 3)).astype("uint8"))
    (folder / "notes.txt").write_text("x")
    (folder / "town2.tif.aux.xml").write_text("<PAMDataset/>")
    (folder / "README").write_text("x")
    (folder / "older").mkdir()
    return folder


def predict(*arguments, **options):
    return run("predict", *arguments, "--model", "toy", "--output", "maps", **options)


def read(path):
    with rasterio.open(path) as raster:
        return raster.read(1)


def expected(path):
    with rasterio.open(path) as raster:
        return toy_labels(np.moveaxis(raster.read(), 0, -1))


def events(folder):
    lines = (folder / "maps/manifest.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def lines_of(result):
    """Lines without what is left of progress bars."""
    return [line.strip() for line in result.output.splitlines() if line.strip()]


def contents(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_folder_of_scenes(tmp_path, scenes, calls, caplog):
    result = predict("scenes", "--json", "areas.json", "--csv", "areas.csv")
    assert "3 rasters; left out: 1 *.txt, 1 *.xml, 1 README, 1 folders." in caplog.text
    assert [event["map"] for event in events(tmp_path)] == ["town2.tif", "town10.tif", "wood.tif"]
    assert (
        "maps: 3 scenes, 3 done." in result.output and "2 of 3: scenes/town10.tif" in result.output
    )
    for name in ("town2.tif", "town10.tif"):
        np.testing.assert_array_equal(read(tmp_path / "maps" / name), expected(scenes / name))
    first = events(tmp_path)[0]
    assert first["status"] == "done" and first["megapixels"] == 90 * 80 / 1e6
    assert first["seconds"] > 0 and len(first["key"]["input"]) == len(first["key"]["model"]) == 64
    areas = json.loads((tmp_path / "areas.json").read_text())
    assert list(areas) == [f"scenes/{name}" for name in ("town2.tif", "town10.tif", "wood.TIF")]
    assert len((tmp_path / "areas.csv").read_text().splitlines()) == 10
    before, count = contents(tmp_path / "maps"), len(calls)
    result = predict("scenes", "--json", "again.json")
    assert "maps: 3 scenes, 3 already there." in result.output and "hectares" not in result.output
    assert contents(tmp_path / "maps") == before and len(calls) == count
    assert json.loads((tmp_path / "again.json").read_text()) == areas
    assert "3 scenes, 3 already there" in predict(scenes).output  # also by another name
    assert "3 scenes, 3 done" in predict(scenes, "--no-resume").output and len(calls) == 2 * count


def test_a_damaged_scene_does_not_stop_the_others(tmp_path, scenes, calls):
    """One is damaged inside, one cannot be opened, one does not fit the model."""
    image = rng.integers(1, 9, (300, 300, 3)).astype("uint8")
    write_raster(scenes / "a.tif", image, **TILES)
    healthy = (scenes / "a.tif").read_bytes()
    damage_block(scenes / "a.tif", 1, 1)
    (scenes / "b.tif").write_text("no raster")
    write_raster(scenes / "c.tif", image.astype("uint16"))
    result = predict("scenes", check=False)
    assert result.exit_code == 1 and "Traceback" not in result.output
    assert "maps: 6 scenes, 3 failed, 3 done." in result.output
    before, after = result.output.split("1 of 4: scenes/a.tif")
    for words in ("scenes/b.tif: cannot be read as a raster", "c.tif is uint16"):
        assert words in before and words in after  # known before the first scene is predicted
    assert "a.tif: cannot be read at row" in after and "--on-bad-block nodata" in after
    reasons = {event["map"]: event["reason"] for event in events(tmp_path)}
    assert "cannot be read at row" in reasons["a.tif"] and reasons["wood.tif"] is None
    count = len(calls)
    result = predict("scenes", check=False)
    assert result.exit_code == 1 and len(calls) == count and len(events(tmp_path)) == 6
    assert "3 failed, 3 already there" in result.output and "a.tif: cannot be read" in result.output
    result = predict("scenes", "--retry-failed", check=False)
    assert result.exit_code == 1 and len(events(tmp_path)) == 7
    (scenes / "a.tif").write_bytes(healthy)
    for name in ("b.tif", "c.tif"):
        (scenes / name).unlink()
    result = predict("scenes")
    assert "4 scenes, 1 done, 3 already there" in result.output


def test_a_dry_run_writes_nothing(tmp_path, scenes, calls):
    before = contents(tmp_path)
    result = predict("scenes", "--dry-run")
    assert contents(tmp_path) == before and not calls
    lines = lines_of(result)
    assert "to do (0.0 megapixels) scenes/town2.tif: new" in lines
    assert "To do: 3 of 3 scenes, 0.0 megapixels." in lines
    assert lines[-1] == "Time: unknown until this model has made a map in this folder."
    predict("scenes")
    write_raster(scenes / "large.tif", np.ones((2000, 1000, 3), "uint8"))
    (tmp_path / "maps/wood.tif").unlink()
    before, count = contents(tmp_path), len(calls)
    result = predict("scenes", "--dry-run")
    assert contents(tmp_path) == before and len(calls) == count
    lines = lines_of(result)
    assert "to do (2.0 megapixels) scenes/large.tif: new" in lines
    assert "to do (0.0 megapixels) scenes/wood.TIF: its map is missing" in lines
    assert "done (0.0 megapixels) scenes/town2.tif" in lines
    assert "To do: 2 of 4 scenes, 2.0 megapixels." in lines
    done = [event for event in events(tmp_path) if event["status"] == "done"]
    rate = sum(e["seconds"] for e in done) / sum(e["megapixels"] for e in done)
    assert f"h, at {rate:.3g} s per megapixel as measured in this folder." in lines[-1]
    result = predict("scenes", "--dry-run", "--overlap", "64", "--nodata", "7")
    assert "changed: options.nodata (null -> 7.0), options.overlap (null -> 64)" in result.output


def test_an_area_of_interest_over_several_scenes(tmp_path, scenes, calls):
    """The area covers a part of one scene; the other is elsewhere, a third has no place."""
    for path in (scenes / "town10.tif", scenes / "wood.TIF"):
        path.unlink()
    image = rng.integers(1, 255, (64, 64, 3)).astype("uint8")
    far = {"transform": rasterio.transform.from_origin(400_000, 2_800_000, 0.5, 0.5)}
    write_raster(scenes / "far.tif", image, **far)
    write_raster(scenes / "nowhere.tif", image, crs=None)
    square = box(300_010, 2_799_980, 300_020, 2_799_995)
    pyogrio.raw.write(
        *(tmp_path / "area.geojson", [shapely.to_wkb(square)], [], []),
        crs=PLACE["crs"],
        geometry_type="Polygon",
        RFC7946="NO",
    )
    options = ("scenes", "--aoi", "area.geojson")
    result = predict(*options, "--crop-to-aoi", check=False)
    assert result.exit_code == 1 and "3 scenes, 1 skipped, 1 failed, 1 done" in result.output
    assert "far.tif: area.geojson has no pixel of scenes/far.tif" in result.output
    assert "nowhere.tif has no CRS or no transform" in result.output
    np.testing.assert_array_equal(
        read(tmp_path / "maps/town2.tif"), expected(scenes / "town2.tif")[10:40, 20:40]
    )
    (scenes / "nowhere.tif").unlink()
    assert "1 skipped, 1 already there" in predict(*options, "--crop-to-aoi").output
    result = predict(*options, "--dry-run")
    assert "town2.tif: changed: options.crop_to_aoi (true -> false)" in result.output
    result = predict("scenes", "--dry-run")
    assert "town2.tif: changed: options.crop_to_aoi (true -> false), area" in result.output
    predict(*options)
    labels = read(tmp_path / "maps/town2.tif")
    assert labels.shape == (90, 80) and (labels != 255).sum() == 600


def test_one_map_of_an_area(tmp_path, scenes, calls):
    square = box(300_010, 2_799_980, 300_020, 2_799_995)
    for layer in ("one", "two"):
        pyogrio.raw.write(
            *(tmp_path / "areas.gpkg", [shapely.to_wkb(square)], [], []),
            crs=PLACE["crs"],
            geometry_type="Polygon",
            layer=layer,
            append=layer == "two",
        )
    options = ("predict", "scenes/town2.tif", "--model", "toy", "--output", "map.tif")
    result = run(*options, "--aoi", "areas.gpkg", check=False)
    assert result.exit_code == 1 and "several layers" in result.output
    result = run(*options, "--aoi", "areas.gpkg", "--aoi-layer", "two", "--crop-to-aoi")
    assert read(tmp_path / "map.tif").shape == (30, 20) and "0/600" in result.output
    assert "no data" not in result.output


@pytest.mark.parametrize(
    "options, words",
    [
        (("scenes", "scenes/wood.TIF", "--output", "maps"), "Several images would write wood.tif"),
        (("scenes", "--output", "scenes"), "town2.tif is a scene itself"),
        (("scenes/older", "--output", "maps"), "older has no raster"),
        (("scenes", "--output", "maps", "--confidence", "c.tif"), "for one map"),
        (("scenes", "--output", "maps", "--crop-to-aoi"), "need --aoi"),
        (("scenes", "--output", "maps", "--aoi-layer", "x"), "need --aoi"),
        (("scenes", "--output", "maps", "--aoi", "no.gpkg"), "no.gpkg: cannot be read"),
        (("scenes", "--output", "maps", "--bands", "1,2"), "takes 3 channels"),
        (("scenes", "--output", "maps", "--dry-run", "--json", "a.json"), "writes nothing"),
        (("scenes/wood.TIF", "--output", "m.tif", "--dry-run"), "are for a folder"),
        (("scenes/wood.TIF", "--output", "m.png", "--aoi", "a.gpkg"), "for maps, not pictures"),
        (("scenes", "--output", "m.png"), "Several images need"),
    ],
)
def test_mistakes_are_known_before_any_work(tmp_path, scenes, calls, options, words):
    before = contents(tmp_path)
    result = run("predict", *options, "--model", "toy", check=False)
    assert result.exit_code in (1, 2) and words in " ".join(result.output.split())
    assert "Traceback" not in result.output and contents(tmp_path) == before and not calls
