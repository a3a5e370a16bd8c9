"""Polygons next to the map of a scene: their place in a run, and maps with hardly any."""

import numpy as np
import pyogrio
import pytest
import shapely
from rasters import PLACE, write_raster
from resumable import hidden
from shapely.geometry import box
from toy import toy_predictor

import keras_deeplab as kd

NAMES = ("background", "green", "blue")


@pytest.fixture
def scene(tmp_path):
    """A folder with a scene of which the left columns have no data, and an area over both."""
    image = np.full((90, 120, 3), (9, 5, 1), "uint8")
    image[:, :20] = 0
    write_raster(tmp_path / "scene.tif", image, nodata=0)
    write_area(tmp_path / "area.gpkg", box(10, 10, 70, 50))
    return tmp_path


def write_area(path, shape):
    """A polygon in pixels."""
    shape = shapely.transform(shape, lambda xy: xy * (0.5, -0.5) + (300_000, 2_800_000))
    pyogrio.raw.write(
        path, shapely.to_wkb([shape]), [], [], crs=PLACE["crs"], geometry_type="Polygon"
    )


def predict(folder, function=lambda images: images, *, names=NAMES, vector="map.gpkg", **options):
    predictor = toy_predictor(function, names=names)
    predictor.weights_sha256 = lambda: "aa"
    return kd.predict_raster(
        *(predictor, folder / "scene.tif", folder / "map.tif"),
        vector=folder / vector,
        progress=False,
        **options,
    )


def test_a_run_is_not_finished_before_its_polygons(scene, caplog):
    """Where they cannot be written, the next run only writes these."""
    seen = []

    def count(images):
        seen.append(1)
        return images

    (scene / "map.gpkg").mkdir()
    with pytest.raises(OSError, match=r"map\.gpkg"):
        predict(scene, count)
    assert (scene / "map.tif").exists() and "1 of 1 bands are finished and kept" in caplog.text
    (scene / "map.gpkg").rmdir()
    before, windows = (scene / "map.tif").read_bytes(), len(seen)
    assert predict(scene, count)["polygons"]["polygons"] == 0 and len(seen) == windows
    assert (scene / "map.tif").read_bytes() == before and not hidden(scene)


@pytest.mark.parametrize("names, polygons", [(("red", "green", "blue"), 1), (NAMES, 0)])
def test_a_map_of_one_class(scene, names, polygons):
    result = predict(scene, names=names, aoi=scene / "area.gpkg", crop_to_aoi=True)
    assert (result["nodata_pixels"], result["outside_pixels"]) == (10 * 40, 0)
    info = pyogrio.read_info(scene / "map.gpkg", layer="map")
    assert info["features"] == result["polygons"]["polygons"] == polygons
    assert info["crs"] == PLACE["crs"]
    if polygons:
        (shape,) = shapely.from_wkb(pyogrio.raw.read(scene / "map.gpkg", layer="map")[2])
        expected = box(300_010, 2_799_975, 300_035, 2_799_995)
        assert shape.equals(expected)


def test_a_map_without_data(scene):
    write_area(scene / "area.gpkg", box(2, 2, 18, 80))
    result = predict(scene, aoi=scene / "area.gpkg")
    assert result["nodata_pixels"] == 16 * 78 and result["polygons"]["polygons"] == 0
    assert not any(row["pixels"] for row in result["classes"])


def test_input_files_are_not_overwritten(scene):
    area = (scene / "area.gpkg").read_bytes()
    with pytest.raises(ValueError, match=r"area\.gpkg is the area of interest itself"):
        predict(scene, vector="area.gpkg", aoi=scene / "area.gpkg")
    assert (scene / "area.gpkg").read_bytes() == area
    options = {"driver": "GPKG", "crs": "EPSG:3857"}
    image = np.full((90, 120, 3), 9, "uint8")
    write_raster(scene / "raster.gpkg", image, **options)
    (scene / "scene.tif").unlink()
    (scene / "scene.tif").symlink_to("raster.gpkg")
    with pytest.raises(ValueError, match=r"raster\.gpkg is a file of the scene itself"):
        predict(scene, vector="raster.gpkg")


def test_an_area_beyond_the_scene(scene):
    write_area(scene / "area.gpkg", box(500, 10, 600, 50))
    with pytest.raises(ValueError, match=r"area\.gpkg has no pixel of .*scene\.tif: in WGS 84 /"):
        predict(scene, aoi=scene / "area.gpkg")
    assert not (scene / "map.tif").exists() and not hidden(scene)
