"""`vectorize`: vector files of finished maps, read back with pyogrio."""

import sqlite3
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pyogrio
import pyproj
import pytest
import rasterio
import shapely
from rasterio import Affine, features
from rasterio.control import GroundControlPoint
from rasterio.transform import from_origin
from rasters import PLACE, damage_block, write_raster

import keras_deeplab as kd
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.files.rasters import UnreadableFileError
from keras_deeplab.prediction.raster.legend import write_class_names, write_qgis_style

NONE = 255
TABLE = ClassTable(
    ("Background", 'a "roof" & <b>', "road", "森林"), ((0, 0, 0), (1, 2, 3), (4, 5, 6), (255, 9, 9))
)
PLACES = {
    "UTM": PLACE,
    "degrees": {"crs": "EPSG:4326", "transform": from_origin(10, 60, 1e-4, 1e-4)},
    "Mercator": {"crs": "EPSG:3857", "transform": from_origin(1e6, 8_399_738, 0.6, 0.6)},
    "rotated": {"crs": "EPSG:32640", "transform": Affine(0.3, 0.4, 3e5, 0.4, -0.3, 28e5)},
    "south-up": {"crs": "EPSG:32640", "transform": from_origin(3e5, 28e5, 0.5, -0.5)},
}


def random_map(path, shape=(40, 60), seed=0, table=TABLE, **options):
    """Writes a map with names; returns its labels."""
    labels = np.random.default_rng(seed).integers(0, 4, [-(-side // 3) for side in shape])
    labels = labels.repeat(3, 0).repeat(3, 1)[: shape[0], : shape[1]].astype(np.uint8)
    labels[5:15, 7:20] = NONE
    write_raster(path, labels, **{"nodata": NONE, **PLACE, **options})
    if table is not None:
        write_class_names(path, table, np.bincount(labels.ravel(), minlength=256)[: len(table)])
    return labels


def read(path):
    """Geometries, a dict of the fields, and the metadata of a vector file."""
    meta, _, geometry, fields = pyogrio.raw.read(path, layer=path.stem)
    return shapely.from_wkb(geometry), dict(zip(meta["fields"], fields, strict=True)), meta


@pytest.fixture
def folder(tmp_path):
    random_map(tmp_path / "map.tif")
    return tmp_path


def vectorize(folder, name="out.gpkg", **options):
    return kd.vectorize(folder / "map.tif", folder / name, progress=False, **options)


@pytest.mark.parametrize("suffix", ["gpkg", "fgb"])
@pytest.mark.parametrize("place", PLACES)
def test_burned_back_they_are_the_map(tmp_path, suffix, place):
    labels = random_map(tmp_path / "map.tif", (40, 1100), **PLACES[place])  # several blocks
    summary = vectorize(tmp_path, f"out.{suffix}")
    shapes, fields, meta = read(tmp_path / f"out.{suffix}")
    pixels = features.rasterize(
        zip(shapes, fields["class_index"], strict=True),
        labels.shape,
        fill=NONE,
        transform=PLACES[place]["transform"],
        dtype="uint8",
    )
    labels[labels == 0] = NONE  # the background
    np.testing.assert_array_equal(pixels, labels)
    assert pyproj.CRS(meta["crs"]) == pyproj.CRS(PLACES[place]["crs"])
    assert summary["polygons"] == len(shapes) and summary["left_out"] == 0
    names = np.array(TABLE.names, object)[fields["class_index"]]
    np.testing.assert_array_equal(fields["class"], names)
    assert fields["pixels"].sum() == (labels != NONE).sum()


def geodesic_area(shape, crs):
    """Square metres of a polygon whose edges are cut into short pieces."""
    to_degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    dense = shapely.segmentize(shape, shape.length / 2000)
    degrees = shapely.transform(
        dense, lambda points: np.column_stack(to_degrees.transform(*points.T))
    )
    return abs(pyproj.Geod(ellps="WGS84").geometry_area_perimeter(degrees)[0])


@pytest.mark.parametrize("place", PLACES)
def test_areas_on_the_ground(tmp_path, place):
    random_map(tmp_path / "map.tif", **PLACES[place])
    summary = vectorize(tmp_path)
    shapes, fields, _ = read(tmp_path / "out.gpkg")
    for index in np.argsort(fields["pixels"])[-4:]:
        expected = geodesic_area(shapes[index], PLACES[place]["crs"])
        assert fields["area_m2"][index] == pytest.approx(expected, rel=1e-4, abs=2e-3)
    for row in summary["classes"]:
        own = fields["class"] == row["name"]
        assert row["polygons"] == own.sum()
        assert row["hectares"] == pytest.approx(fields["area_m2"][own].sum() / 1e4)


def test_geojson_has_longitude_and_latitude(tmp_path):
    random_map(tmp_path / "map.tif")
    vectorize(tmp_path)
    vectorize(tmp_path, "out.geojson")
    shapes, fields, _ = read(tmp_path / "out.gpkg")
    degrees, others, meta = read(tmp_path / "out.geojson")
    assert meta["crs"] == "EPSG:4326"
    to_degrees = pyproj.Transformer.from_crs(PLACE["crs"], "OGC:CRS84", always_xy=True)
    expected = shapely.transform(
        shapes, lambda points: np.column_stack(to_degrees.transform(*points.T))
    )
    assert shapely.hausdorff_distance(degrees, expected).max() < 1e-8
    assert all(shape.exterior.is_ccw for shape in degrees) and shapely.is_valid(degrees).all()
    np.testing.assert_array_equal(fields["pixels"], others["pixels"])


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_without_crs_they_lie_over_the_map_as_qgis_places_it(tmp_path):
    labels = random_map(tmp_path / "map.tif", crs=None, transform=Affine.identity())
    summary = vectorize(tmp_path)
    shapes, fields, meta = read(tmp_path / "out.gpkg")
    assert shapely.total_bounds(shapes).tolist() == [0, -40, 60, 0] and not meta["crs"]
    assert "area_m2" not in fields and summary["classes"][0]["hectares"] is None
    np.testing.assert_array_equal(shapely.area(shapes), fields["pixels"])
    assert fields["pixels"].sum() == ((labels != NONE) & (labels != 0)).sum()
    for options, words in (
        ({"name": "out.geojson"}, "GeoJSON has longitudes"),
        ({"min_area": 2}, "has no place on the ground"),
        ({"simplify": 2}, "has no place on the ground"),
    ):
        with pytest.raises(ValueError, match=words):
            vectorize(tmp_path, **options)


def test_a_transform_without_crs(tmp_path):
    random_map(tmp_path / "map.tif", crs=None)
    vectorize(tmp_path, "out.fgb")
    bounds = shapely.total_bounds(read(tmp_path / "out.fgb")[0]).tolist()
    assert bounds == [300_000, 2_799_980, 300_030, 2_800_000]


def test_classes_are_chosen_by_name(folder):
    summary = vectorize(folder, classes=["road", "Background", "road"])
    _, fields, _ = read(folder / "out.gpkg")
    assert set(fields["class"]) == {"road", "Background"}
    assert [row["name"] for row in summary["classes"]] == ["road", "Background"]
    with pytest.raises(ValueError, match=r"'raod'.*Did you mean 'road'"):
        vectorize(folder, classes=["raod"])


def test_a_map_without_names(tmp_path, caplog):
    random_map(tmp_path / "map.tif", table=None)
    summary = vectorize(tmp_path)
    assert "does not name its classes" in caplog.text
    assert [row["name"] for row in summary["classes"]] == [f"class {value}" for value in range(4)]
    vectorize(tmp_path, classes=["class 3"])
    assert set(read(tmp_path / "out.gpkg")[1]["class_index"]) == {3}
    with pytest.raises(ValueError, match="by pixel value, for example 'class 3', not 'road'"):
        vectorize(tmp_path, classes=["road"])


def test_another_nodata_value(tmp_path):
    random_map(tmp_path / "map.tif", nodata=2)
    vectorize(tmp_path)
    assert set(read(tmp_path / "out.gpkg")[1]["class_index"]) == {1, 3}


def test_confidence(folder):
    rng = np.random.default_rng(1)
    percent = rng.integers(0, 101, (40, 60)).astype(np.uint8)
    with rasterio.open(folder / "map.tif") as raster:
        labels = raster.read(1)
    percent[labels == NONE] = percent[:3, :3] = NONE
    write_raster(folder / "sure.tif", percent, nodata=NONE)
    vectorize(folder, confidence=folder / "sure.tif", classes=TABLE.names)
    shapes, fields, _ = read(folder / "out.gpkg")
    numbers = features.rasterize(
        ((shape, index + 1) for index, shape in enumerate(shapes)),
        labels.shape,
        transform=PLACE["transform"],
        dtype="int32",
    )
    for index, mean in enumerate(fields["confidence"]):
        own = percent[(numbers == index + 1) & (percent != NONE)]
        expected = own.mean() if own.size else np.nan
        assert mean == pytest.approx(expected, abs=1e-3, nan_ok=True)
    write_raster(folder / "other.tif", percent[:-1], nodata=NONE)
    with pytest.raises(ValueError, match=r"other.tif is not the confidence of .*map.tif"):
        vectorize(folder, confidence=folder / "other.tif")


def test_small_polygons_are_left_out_and_counted(folder):
    everything = vectorize(folder)["polygons"]
    summary = vectorize(folder, min_area=9 * 0.25 * 1.1)  # more than one cell of 3 x 3 pixels
    _, fields, _ = read(folder / "out.gpkg")
    assert fields["pixels"].min() > 9
    assert 0 < summary["left_out"] == everything - summary["polygons"]
    assert summary["polygons"] == len(fields["pixels"])


def test_simplified(tmp_path):
    y, x = np.indices((120, 150))
    write_raster(tmp_path / "map.tif", ((x * x + 2 * y * y) // 3000 % 3).astype(np.uint8))
    vectorize(tmp_path, "exact.gpkg")
    vectorize(tmp_path, simplify=0.75)
    (exact, fields, _), (shapes, others, _) = (
        read(tmp_path / name) for name in ("exact.gpkg", "out.gpkg")
    )
    assert shapely.coverage_is_valid(shapes) and shapely.is_valid(shapes).all()
    assert sorted(fields["area_m2"]) == sorted(others["area_m2"])  # of the pixels
    assert (
        shapely.get_num_coordinates(shapes).sum() < 0.3 * shapely.get_num_coordinates(exact).sum()
    )
    np.testing.assert_allclose(shapely.area(shapes).sum(), 120 * 150 / 4)
    np.testing.assert_allclose(shapely.area(shapes), others["pixels"] / 4, rtol=0.1)


def part_of_style(text, name):
    return ET.fromstring(text.partition("\n")[2]).find(name)


def colors_of_style(text):
    renderer = part_of_style(text, "renderer-v2")
    assert renderer.get("type") == "categorizedSymbol" and renderer.get("attr") == "class"
    symbols = {
        symbol.get("name"): symbol.find("layer/prop[@k='color']").get("v")
        for symbol in renderer.find("symbols")
    }
    return {each.get("value"): symbols[each.get("symbol")] for each in renderer.find("categories")}


def test_styles(tmp_path):
    labels = random_map(tmp_path / "map.tif", photometric="palette")
    with rasterio.open(tmp_path / "map.tif", "r+") as raster:
        raster.write_colormap(1, dict(enumerate(TABLE.palette)))
    write_class_names(tmp_path / "map.tif", TABLE, np.bincount(labels.ravel())[:4])
    expected = {TABLE.names[1]: "1,2,3,153", "road": "4,5,6,153", "森林": "255,9,9,153"}
    vectorize(tmp_path)
    with sqlite3.connect(tmp_path / "out.gpkg") as database:
        (row,) = database.execute(
            "SELECT f_table_name, f_geometry_column, useAsDefault, styleQML FROM layer_styles"
        )
    assert row[:3] == ("out", "geom", 1) and colors_of_style(row[3]) == expected
    write_qgis_style(tmp_path / "map.tif", TABLE)
    legend = part_of_style((tmp_path / "map.qml").read_text(), "pipe")
    for _ in range(2):
        vectorize(tmp_path, "map.geojson")
        text = (tmp_path / "map.qml").read_text()
        assert colors_of_style(text) == expected
        assert ET.tostring(part_of_style(text, "pipe")) == ET.tostring(legend)


@pytest.mark.parametrize(
    "name, words",
    [
        ("out.shp", r"out.shp: polygons are written as .gpkg, .geojson, .fgb"),
        ("out", r"out: polygons are written as"),
    ],
)
def test_other_formats_are_refused(folder, name, words):
    with pytest.raises(ValueError, match=words):
        vectorize(folder, name)


def test_what_is_not_a_class_map_is_refused(tmp_path):
    write_raster(tmp_path / "map.tif", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="has 3 bands of uint8: a class map has one"):
        vectorize(tmp_path)
    points = [GroundControlPoint(y, x, x, -y) for y in (0, 8) for x in (0, 8)]
    place = {"gcps": points, "crs": "EPSG:4326", "transform": None}
    write_raster(tmp_path / "map.tif", np.zeros((8, 8), np.uint8), **place)
    with pytest.raises(ValueError, match="ground control points: warp it first"):
        vectorize(tmp_path)


def test_the_map_itself_is_not_overwritten(folder):
    content = (folder / "map.tif").read_bytes()
    (folder / "map.tif").rename(folder / "map.gpkg")
    with pytest.raises(ValueError, match=r"map.gpkg is a file of the map itself"):
        kd.vectorize(folder / "map.gpkg", folder / "map.gpkg", progress=False)
    assert (folder / "map.gpkg").read_bytes() == content


def test_a_missing_library_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyogrio", None)
    with pytest.raises(ValueError, match=r'pip install "keras-deeplab\[vector\]"'):
        vectorize(folder)


def test_areas_outside_of_the_crs_are_unknown(tmp_path):
    """The map reaches beyond the pole."""
    place = {"crs": "EPSG:4326", "transform": from_origin(10, 95, 0.5, 0.5)}
    labels = random_map(tmp_path / "map.tif", **place)
    summary = vectorize(tmp_path, classes=TABLE.names)
    _, fields, _ = read(tmp_path / "out.gpkg")
    assert fields["pixels"].sum() == (labels != NONE).sum() and summary["left_out"] == 0
    assert np.isnan(fields["area_m2"]).all()
    assert [row["hectares"] for row in summary["classes"]] == [None] * 4


@pytest.mark.parametrize("options", [{"min_area": -1}, {"simplify": -0.5}])
def test_negative_limits_are_refused(folder, options):
    with pytest.raises(ValueError, match="must be 0 or more"):
        vectorize(folder, **options)


@pytest.mark.parametrize("name", ["out.gpkg", "out.geojson", "out.fgb"])
def test_an_error_leaves_the_old_file(tmp_path, name, monkeypatch):
    tiles = {"tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "deflate"}
    random_map(tmp_path / "map.tif", (128, 1200), **tiles)
    damage_block(tmp_path / "map.tif", 9, 0)  # in the second block
    (tmp_path / name).write_bytes(b"old")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UnreadableFileError, match=r"map.tif"):
        vectorize(tmp_path, name)
    for function in ("from_ragged_array", "to_wkb"):
        monkeypatch.setattr(shapely, function, interrupt)
        with pytest.raises(KeyboardInterrupt):
            vectorize(tmp_path, name, classes=["road"])
        monkeypatch.undo()
    assert (tmp_path / name).read_bytes() == b"old" and sorted(tmp_path.iterdir()) == before
    random_map(tmp_path / "map.tif")
    vectorize(tmp_path, name)
    assert len(read(tmp_path / name)[0])


def interrupt(*arguments):
    raise KeyboardInterrupt


FULL_DISK = """
import pathlib, resource, signal, sys

sys.dont_write_bytecode = True  # else Python would cut off what it caches of modules
import keras_deeplab as kd

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = pathlib.Path(sys.argv[1])
for name in ("out.gpkg", "out.geojson", "out.fgb"):
    kd.vectorize(folder / "map.tif", folder / name, progress=False)
    size = (folder / name).stat().st_size
    (folder / name).write_bytes(b"old")
    for limit in (0, size // 2, size - 3000, size - 3):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            kd.vectorize(folder / "map.tif", folder / name, progress=False)
            print(name, size, limit, "written")
        except OSError as error:
            print(error)
        assert (folder / name).read_bytes() == b"old", (name, size, limit)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


def test_a_full_disk_is_an_error(tmp_path):
    random_map(tmp_path / "map.tif", (150, 150))
    process = subprocess.run(
        [sys.executable, "-c", FULL_DISK, tmp_path], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    assert len(lines) == 12 and not [line for line in lines if "cannot be written" not in line]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["map.tif", "map.tif.aux.xml", "out.gpkg", "out.geojson", "out.fgb", "out.qml"]
    )
