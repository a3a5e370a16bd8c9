"""Vector files with polygons far from the scenes, which the CRS of those may not represent."""

import logging

import numpy as np
import pytest
from polygons import project, write_polygons
from shapely.geometry import box
from test_vectors import UTM, labels_of, on_ground, write_scene

import keras_deeplab as kd

DEGREES = "OGC:CRS84"


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return write_scene(tmp_path_factory.mktemp("scene") / "scene.tif")


@pytest.fixture(scope="module")
def near():
    """Two rectangles on the scene, in degrees."""
    return project(on_ground(np.array([box(20, 30, 90, 80), box(300, 5, 400, 50)])), UTM, DEGREES)


ELSEWHERE = box(-3.0, -1.0, -2.9, 1.0), box(-60, 0, -50, 0.5), box(80, -0.5, 270, 0.5)


def test_features_elsewhere_count_as_outside(tmp_path, scene, near):
    """Those that UTM cannot represent, or not whole, change no label."""
    alone = write_polygons(tmp_path / "near.gpkg", near, DEGREES, kind=["a", "b"])
    world = write_polygons(
        tmp_path / "world.gpkg", [*ELSEWHERE, *near], DEGREES, kind=["b", "c", "a", "a", "b"]
    )
    classes = ["background", "a", "b", "c"]
    expected = labels_of(scene, alone, class_field="kind", classes=classes)
    found = labels_of(scene, world, class_field="kind", classes=classes)
    np.testing.assert_array_equal(found, expected)
    upwards = labels_of(
        scene, world, class_field="kind", classes=classes, burn_order=["c", "b", "a"]
    )
    np.testing.assert_array_equal(upwards, expected)
    assert kd.data.from_rasters(scene, world, class_field="kind").class_names == classes


def test_features_that_may_reach_the_scene_are_an_error(tmp_path, scene, near):
    around = write_polygons(
        tmp_path / "around.gpkg", [box(-180, -90, 180, 90), *near], DEGREES, kind=["c", "a", "b"]
    )
    with pytest.raises(ValueError, match=r"1 of 3 features \(FID 1\) reach beyond the area"):
        labels_of(scene, around, class_field="kind")
    turned = write_polygons(  # the same meridians with another number
        tmp_path / "turned.gpkg", [box(-360, 0, -180, 89), *near], DEGREES, kind=["c", "a", "b"]
    )
    with pytest.raises(ValueError, match="reach beyond"):
        labels_of(scene, turned, class_field="kind")


def test_areas_elsewhere(tmp_path, scene, near):
    """Labelled area and validation area take the same files."""
    labels = write_polygons(tmp_path / "near.gpkg", near, DEGREES, kind=["a", "b"])
    area = write_polygons(tmp_path / "area.gpkg", [*ELSEWHERE, near[0]], DEGREES)
    (label,) = labels_of(scene, labels, class_field="kind", labelled_area=area)
    assert (label != 255).sum() == 70 * 50
    place = kd.data.ValidationPlace(area, gap=64)
    (label,) = labels_of(scene, labels, class_field="kind", place=place, subset="val")
    assert (label != 255).sum() == 70 * 50
    around = write_polygons(tmp_path / "around.gpkg", [box(-180, -90, 180, 90)], DEGREES)
    for options in (
        {"labelled_area": around},
        {"place": kd.data.ValidationPlace(around, gap=64), "subset": "val"},
    ):
        with pytest.raises(ValueError, match=r"around.gpkg: 1 of 1 features .* reach beyond"):
            labels_of(scene, labels, class_field="kind", **options)


def test_255_is_not_a_class(tmp_path, scene, near, caplog):
    """Also without a class table."""
    labels = write_polygons(tmp_path / "labels.gpkg", near, DEGREES, kind=[1, 255])
    dataset = kd.data.from_rasters(scene, labels, class_field="kind")
    assert dataset.class_names == ["background", "1"]
    with caplog.at_level(logging.WARNING):
        (label,) = labels_of(scene, labels, class_field="kind")
    assert (label == 255).sum() == 100 * 45 and (label == 1).sum() == 70 * 50
    assert "the ground of 1 polygon of value 255 is ignored" in caplog.text
