"""`vectorize`, and `predict --vector`, as users call them."""

import subprocess
import sys

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from in_process import run
from rasterio.control import GroundControlPoint
from rasters import PLACE, write_raster
from toy import toy_labels, toy_models

rng = np.random.default_rng(0)
IMAGE = rng.integers(1, 255, (20, 25, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)


@pytest.fixture
def scene(tmp_path):
    write_raster(tmp_path / "scene.tif", IMAGE)
    with toy_models(resolution_m=0.5):
        yield tmp_path / "scene.tif"


def predict(scene, *options, output="map.tif", **more):
    return run(
        "predict", scene, "--model", "toy", "--output", scene.parent / output, *options, **more
    )


def read(path):
    meta, _, geometry, fields = pyogrio.raw.read(path, layer=path.stem)
    return shapely.from_wkb(geometry), dict(zip(meta["fields"], fields, strict=True))


def cells(output, name):
    """The cells of a row of each printed table."""
    lines = [line.split("│") for line in output.splitlines() if "│" in line]
    return [[cell.strip() for cell in line[2:-1]] for line in lines if line[1].strip() == name]


def test_predict_writes_polygons(scene):
    folder = scene.parent
    options = ("--vector", folder / "map.gpkg", "--confidence", folder / "sure.tif")
    result = predict(scene, *options, "--json", folder / "areas.json")
    shapes, fields = read(folder / "map.gpkg")
    labels = toy_labels(IMAGE)
    for value, name in enumerate(("red", "green", "blue")):
        areas, polygons = cells(result.output, name)
        own = fields["class"] == name
        assert (
            fields["pixels"][own].sum() == (labels == value).sum() == int(areas[0].replace(",", ""))
        )
        assert polygons == [f"{own.sum():,}", areas[2]]  # the same hectares
    with rasterio.open(folder / "sure.tif") as raster:
        percent = raster.read(1)
    mean = np.average(fields["confidence"], weights=fields["pixels"])
    assert mean == pytest.approx(percent.mean(), abs=1e-2)
    np.testing.assert_allclose(shapely.area(shapes), fields["pixels"] / 4)
    assert '"polygons": ' in (folder / "areas.json").read_text()
    assert "rasterrenderer" in (folder / "map.qml").read_text()  # the legend of the map


def test_vectorize(scene):
    predict(scene)
    folder = scene.parent
    options = ("--classes", "red, blue", "--min-area", "20", "--simplify", "2")
    result = run("vectorize", folder / "map.tif", "--output", folder / "new/out.fgb", *options)
    _, fields = read(folder / "new/out.fgb")
    assert set(fields["class"]) == {"red", "blue"} and fields["area_m2"].min() >= 20
    assert cells(result.output, "red")[0][0] == f"{(fields['class'] == 'red').sum():,}"
    assert cells(result.output, "left out, smaller") and not cells(result.output, "green")


def test_it_needs_no_tensorflow(scene):
    predict(scene)
    code = (
        "import sys; from keras_deeplab.commands.group import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit as end: assert not end.code\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    folder = scene.parent
    arguments = ["vectorize", folder / "map.tif", "--output", folder / "out.gpkg"]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)


@pytest.mark.parametrize(
    "options, words",
    [
        (("--vector", "map.shp"), "map.shp: polygons are written as"),
        (("--vector", "none/map.geojson"), "no place on the ground"),
        (("--vector", "points.gpkg"), "ground control points"),
        (("--output", "maps", "--vector", "map.gpkg"), "--vector is for one map"),
        (("--output", "map.png", "--vector", "map.gpkg"), "are for maps, not pictures"),
    ],
)
def test_mistakes_are_known_before_any_work(scene, monkeypatch, options, words):
    monkeypatch.chdir(scene.parent)
    if "none/map.geojson" in options:
        write_raster(scene, IMAGE, crs=None)
    if "points.gpkg" in options:
        points = [GroundControlPoint(y, x, x, -y) for y in (0, 8) for x in (0, 8)]
        write_raster(scene, IMAGE, gcps=points, crs="EPSG:4326", transform=None)
    write_raster(scene.with_name("other.tif"), IMAGE, **PLACE)
    scenes = (scene, scene.with_name("other.tif")) if "maps" in options else (scene,)
    output = () if "maps" in options else ("--output", "map.tif")
    before = sorted(scene.parent.rglob("*"))
    result = run("predict", *scenes, "--model", "toy", *output, *options, check=False)
    assert result.exit_code in (1, 2) and words in result.output.replace("\n", " ")
    assert "Traceback" not in result.output and sorted(scene.parent.rglob("*")) == before
