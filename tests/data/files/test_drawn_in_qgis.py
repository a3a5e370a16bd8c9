"""Files as QGIS saves them: multipolygons, nulls, a table of styles; Shapefiles with umlauts."""

import sqlite3

import numpy as np
import pyogrio
import pytest
import shapely
from polygons import burnt
from rasterio import Affine
from shapely.geometry import MultiPolygon, box
from test_vectors import SHAPE, UTM, labels_of, on_ground, write_scene

import keras_deeplab as kd

PIXELS = [
    MultiPolygon([box(20, 20, 60, 50), box(100, 20, 120, 50)]),
    MultiPolygon([box(200, 100, 260, 160)]),
    MultiPolygon([box(300, 200, 330, 260)]),
]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return write_scene(tmp_path_factory.mktemp("scene") / "scene.tif")


def write(path, values, *, mask=None, geometry_type="MultiPolygon", **options):
    drawn = on_ground(np.array([*PIXELS, None], object))
    pyogrio.raw.write(
        path,
        shapely.to_wkb(drawn),
        [values],
        ["Klasse"],
        field_mask=[mask],
        crs=UTM,
        geometry_type=geometry_type,
        **options,
    )
    return path


def expected(values):
    return burnt(PIXELS, values, SHAPE, Affine.identity())


def test_geopackage_of_multipolygons_with_nulls(tmp_path, scene):
    """Integers with a null stay integers, and the styles that QGIS stores are not a layer."""
    path = write(
        tmp_path / "drawn.gpkg",
        np.array([2, 10, 0, 2], np.int32),
        mask=np.array([False, False, True, False]),
    )
    with sqlite3.connect(path) as database:
        database.execute("create table layer_styles (id integer primary key, styleQML text)")
        database.execute(
            "insert into gpkg_contents (table_name, data_type, identifier) "
            "values ('layer_styles', 'attributes', 'layer_styles')"
        )
    dataset = kd.data.from_rasters(scene, path, class_field="Klasse")
    assert dataset.class_names == ["background", "2", "10"]
    (label,) = labels_of(scene, path, class_field="Klasse")
    np.testing.assert_array_equal(label, expected([1, 2, 255]))


@pytest.mark.parametrize("encoding", ["UTF-8", "ISO-8859-1"])
@pytest.mark.parametrize("declared", [True, False], ids=["cpg", "no-cpg"])
def test_shapefile_with_umlauts(tmp_path, scene, encoding, declared):
    names = np.array(["Gebäude", "Straße", "Gebäude", ""], object)
    path = write(tmp_path / "drawn.shp", names, geometry_type="Polygon", encoding=encoding)
    if not declared:
        path.with_suffix(".cpg").unlink()
    classes = ["background", "Straße", "Gebäude"]
    (label,) = labels_of(scene, path, class_field="Klasse", classes=classes)
    np.testing.assert_array_equal(label, expected([2, 1, 2]))
