"""Polygons of vector files of any format and CRS."""

import json
import logging
import sys

import numpy as np
import pyogrio
import pyproj
import pytest
import shapely
from shapely.geometry import box

from keras_deeplab._internal.errors import InputError
from keras_deeplab.data.files.polygon_files import read_polygons
from keras_deeplab.data.files.rasters import UnreadableFileError

UTM = "EPSG:32645"
SQUARES = [box(400_000, 3_050_000, 400_010, 3_050_020), box(400_100, 3_050_000, 400_110, 3_050_010)]


def write(path, geometries, crs=UTM, names=None, **options):
    geometries = np.asarray(geometries, object)
    names = np.arange(len(geometries)).astype(str) if names is None else np.asarray(names)
    pyogrio.raw.write(
        path,
        shapely.to_wkb(geometries),
        [names.astype(object)],
        ["name"],
        crs=crs,
        geometry_type=options.pop("geometry_type", "Unknown"),
        **options,
    )
    return path


def projected(geometries, source, target):
    transform = pyproj.Transformer.from_crs(source, target, always_xy=True).transform
    return shapely.transform(geometries, transform, interleaved=False)


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "shp", "fgb", "gml"])
def test_formats(tmp_path, suffix):
    """The same squares whatever the file; GML stores latitude first."""
    path = tmp_path / f"squares.{suffix}"
    squares, crs = SQUARES, UTM
    if suffix in ("geojson", "gml"):
        squares, crs = projected(SQUARES, UTM, "EPSG:4326"), "EPSG:4326"
    write(path, squares, crs, geometry_type="Polygon")
    found = read_polygons(path, UTM, tolerance=0.01, fields=["name"])
    order = np.argsort(found.fields["name"])  # FlatGeobuf sorts by place
    assert list(found.fields["name"][order]) == ["0", "1"]
    for polygon, square in zip(found.geometries[order], SQUARES, strict=True):
        assert polygon.symmetric_difference(square).area < 1e-3


@pytest.mark.parametrize("crs", ["EPSG:4326", "OGC:CRS84", "EPSG:3857", "EPSG:2193", "EPSG:31468"])
def test_x_is_east_whatever_the_axis_order(tmp_path, crs):
    """EPSG:4326, 2193 and 31468 have north first; files and results have east first."""
    x, y = (corner + 1 for corner in pyproj.CRS(crs).area_of_use.bounds[:2])
    square = box(x, y, x + 0.001, y + 0.002)
    path = write(tmp_path / "degrees.gpkg", [square], "EPSG:4326")
    (found,) = read_polygons(path, crs, tolerance=1e-9).geometries
    expected = projected(square, "EPSG:4326", crs)
    np.testing.assert_allclose(found.bounds, expected.bounds)
    back = write(tmp_path / "back.gpkg", [found], crs)
    (found,) = read_polygons(back, "EPSG:4326", tolerance=1e-9).geometries
    np.testing.assert_allclose(found.bounds, square.bounds, atol=1e-9)


def test_long_edges_become_curves(tmp_path):
    """A parallel is no straight line in UTM: 3.8 km off its chord over 6 degrees at 60 north."""
    band = box(84, 60, 90, 61)
    path = write(tmp_path / "band.geojson", [band], "EPSG:4326")
    (found,) = read_polygons(path, UTM, tolerance=1.0).geometries
    exact = projected(shapely.segmentize(band, 0.001), "EPSG:4326", UTM)
    assert found.hausdorff_distance(exact) < 2.0
    assert projected(band, "EPSG:4326", UTM).hausdorff_distance(exact) > 3000
    assert len(found.exterior.coords) < 1500
    (coarse,) = read_polygons(path, UTM, tolerance=100.0).geometries
    assert coarse.hausdorff_distance(exact) < 200
    assert len(coarse.exterior.coords) < len(found.exterior.coords) / 5


def test_an_edge_of_s_shape_and_holes(tmp_path):
    """Through the centre of UTM's zone on the equator a curve meets its chord in the middle."""
    shell = [(84, -20), (90, 20), (90.5, 20), (84.5, -20)]
    hole = [(87.2, 0), (87.3, 0), (87.3, 1), (87.2, 0)]
    other = box(86, 30, 88, 40)
    polygons = [shapely.Polygon(shell, [hole]), shapely.MultiPolygon([other, box(80, 30, 81, 40)])]
    path = write(tmp_path / "s.geojson", polygons, "EPSG:4326")
    found = read_polygons(path, UTM, tolerance=1.0).geometries
    exact = projected(shapely.segmentize(polygons, 0.005), "EPSG:4326", UTM)
    assert shapely.hausdorff_distance(found, exact).max() < 2.0
    assert shapely.get_num_geometries(found).tolist() == [1, 2]
    assert len(found[0].geoms[0].interiors) == 1
    assert projected(polygons[0], "EPSG:4326", UTM).hausdorff_distance(exact[0]) > 1000


def test_no_points_are_added_without_need(tmp_path):
    path = write(tmp_path / "squares.gpkg", SQUARES)
    found = read_polygons(path, UTM, tolerance=1e-6)
    assert shapely.to_wkb(found.geometries).tolist() == shapely.to_wkb(SQUARES).tolist()
    found = read_polygons(path, "EPSG:3857", tolerance=0.01)
    assert shapely.get_num_coordinates(found.geometries).tolist() == [5, 5]


def test_invalid_polygons_are_repaired(tmp_path, caplog):
    bow = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    overlapping = shapely.MultiPolygon([box(0, 0, 2, 2), box(1, 0, 3, 2)])
    line = shapely.Polygon([(0, 0), (1, 1), (2, 2), (0, 0)])
    path = write(tmp_path / "bad.gpkg", [bow, SQUARES[0], overlapping, line])
    with caplog.at_level(logging.WARNING, "keras_deeplab"):
        found = read_polygons(path, UTM, tolerance=0.1, fields=["name"])
    assert [polygon.area for polygon in found.geometries] == [2, 200, 6]
    assert shapely.is_valid(found.geometries).all() and list(found.fields["name"]) == [
        "0",
        "1",
        "2",
    ]
    assert "3 of 4 features (FID 1, 3, 4) were invalid polygons" in caplog.text
    assert "1 of 4 features (FID 4) have no geometry" in caplog.text


def test_empty_and_missing_geometries_are_counted(tmp_path, caplog):
    path = write(tmp_path / "some.gpkg", [None, SQUARES[0], shapely.Polygon()])
    with caplog.at_level(logging.WARNING, "keras_deeplab"):
        found = read_polygons(path, UTM, tolerance=0.1, fields=["name"])
    assert list(found.numbers) == [2] and list(found.fields["name"]) == ["1"]
    assert "2 of 3 features (FID 1, 3) have no geometry" in caplog.text


def test_collections_of_polygons(tmp_path):
    collection = shapely.GeometryCollection([SQUARES[0], shapely.MultiPolygon([SQUARES[1]])])
    path = write(tmp_path / "collection.gpkg", [collection, SQUARES[1]])
    found = read_polygons(path, UTM, tolerance=0.1)
    assert [polygon.area for polygon in found.geometries] == [300, 100]


@pytest.mark.parametrize(
    "geometries, words",
    [
        ([SQUARES[0], shapely.Point(1, 1)], r"1 of 2 features \(FID 2\) are of type Point.*Buffer"),
        ([shapely.MultiLineString([[(0, 0), (1, 1)]])] * 12, r"FID 1, .* 10, \.\.\.\).*LineString"),
        ([shapely.GeometryCollection([SQUARES[0], shapely.Point(1, 1)])], "type Point"),
        ([None], "no polygons: 1 of 1 features"),
        ([], r"no polygons\.$"),
    ],
)
def test_other_geometries_are_refused(tmp_path, geometries, words):
    path = write(tmp_path / "other.gpkg", geometries)
    with pytest.raises(InputError, match=words):
        read_polygons(path, UTM, tolerance=0.1)


def test_layers(tmp_path):
    path = write(tmp_path / "town.gpkg", SQUARES, layer="houses")
    pyogrio.raw.write(  # as QGIS saves a style
        path, None, [np.array(["x"], object)], ["qml"], layer="styles", append=True
    )
    assert len(read_polygons(path, UTM, tolerance=0.1).geometries) == 2
    write(path, SQUARES[:1], layer="town", append=True)
    assert len(read_polygons(path, UTM, tolerance=0.1, layer="town").geometries) == 1
    with pytest.raises(InputError, match=r"several layers.*houses \(Unknown\), town"):
        read_polygons(path, UTM, tolerance=0.1)
    with pytest.raises(InputError, match=r"no layer 'roads'\. Layers: houses"):
        read_polygons(path, UTM, tolerance=0.1, layer="roads")


@pytest.mark.filterwarnings("ignore:.crs. was not provided")
def test_mistakes_are_named(tmp_path):
    path = write(tmp_path / "squares.gpkg", SQUARES)
    with pytest.raises(InputError, match=r"no field 'class'\. Fields: name"):
        read_polygons(path, UTM, tolerance=0.1, fields=["class"])
    bare = write(tmp_path / "bare.shp", SQUARES, None, geometry_type="Polygon")
    with pytest.raises(InputError, match=r"no CRS: assign that of .* ogr2ogr -a_srs"):
        read_polygons(bare, UTM, tolerance=0.1)
    with pytest.raises(UnreadableFileError, match=r"missing\.gpkg: cannot be read"):
        read_polygons(tmp_path / "missing.gpkg", UTM, tolerance=0.1)
    (tmp_path / "text.geojson").write_text("{")
    with pytest.raises(UnreadableFileError, match=r"text\.geojson: cannot be read"):
        read_polygons(tmp_path / "text.geojson", UTM, tolerance=0.1)
    table = {"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"a": 1}}]}
    (tmp_path / "table.geojson").write_text(json.dumps(table))
    with pytest.raises(InputError, match=r"no (polygons|layer with geometries)"):
        read_polygons(tmp_path / "table.geojson", UTM, tolerance=0.1)
    world = write(tmp_path / "world.gpkg", [box(-180, -90, 180, 90)], "EPSG:4326")
    with pytest.raises(InputError, match=r"FID 1\) reach beyond the area of the CRS WGS 84 / UTM"):
        read_polygons(world, UTM, tolerance=0.1)
    strip = write(tmp_path / "strip.gpkg", [box(80, 0, 270, 1)], "EPSG:4326")  # corners have places
    with pytest.raises(InputError, match="reach beyond"):
        read_polygons(strip, UTM, tolerance=0.1)


def test_without_the_libraries(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyogrio.errors", None)
    with pytest.raises(InputError, match=r'pip install "keras-deeplab\[vector\]"'):
        read_polygons(tmp_path / "x.gpkg", UTM, tolerance=0.1)
