"""Which polygons may be on a scene, before they are projected."""

import numpy as np
import pyproj
import pytest
import shapely
from shapely.geometry import box

from keras_deeplab.data.files.reprojection import near_rectangles

PARIS = "EPSG:4807"  # 400 grads to a turn


@pytest.mark.parametrize(
    ("crs", "rectangle", "source"),
    [
        ("EPSG:32645", (330_000, 3_000_000, 390_000, 3_060_000), "EPSG:4326"),
        ("EPSG:32601", (150_000, 1_000_000, 200_000, 1_050_000), "EPSG:4326"),  # 180 degrees
        ("EPSG:3413", (-90_000, -70_000, 80_000, 90_000), "EPSG:4326"),  # around the north pole
        ("EPSG:32631", (380_000, 5_300_000, 480_000, 5_420_000), PARIS),
        ("EPSG:4326", (85.2, 27.1, 85.9, 27.8), "EPSG:32645"),
    ],
    ids=["utm", "antimeridian", "pole", "grads", "degrees"],
)
def test_boxes_on_a_rectangle_are_near(crs, rectangle, source):
    """Random boxes around it, and those a turn away, against their projected outlines."""
    back = pyproj.Transformer.from_crs(crs, source, always_xy=True)
    forth = pyproj.Transformer.from_crs(source, crs, always_xy=True)
    random = np.random.default_rng(0)
    left, bottom, right, top = rectangle
    wide, high = right - left, top - bottom
    x = random.uniform(left - 3 * wide, right + 3 * wide, 300)
    y = random.uniform(bottom - 3 * high, top + 3 * high, 300)
    centers = np.stack(back.transform(x, y), axis=-1)
    halves = random.uniform(0.001, 0.1, (300, 2)) * (1e5 if source == "EPSG:32645" else 1)
    boxes = np.concatenate([centers - halves, centers + halves], axis=1)
    rings = shapely.segmentize(shapely.box(*boxes.T), halves.min(axis=1))
    outlines = shapely.transform(rings, forth.transform, interleaved=False)
    on = shapely.intersects(outlines, box(*rectangle))
    near = near_rectangles(boxes, source, [rectangle], crs)
    assert on.sum() > 3 and near[on].all()
    if crs != "EPSG:3413":  # around a pole all longitudes are near
        assert near.mean() < 0.8
    if source != "EPSG:32645":
        turn = 400 if source == PARIS else 360
        turned = near_rectangles(boxes + np.array([turn, 0, turn, 0]), source, [rectangle], crs)
        np.testing.assert_array_equal(turned, near)


def test_all_is_near_where_the_rectangle_is_unknown():
    boxes = np.array([[0.0, 0, 1, 1], [1e6, 1e6, 2e6, 2e6]])
    assert near_rectangles(boxes, "EPSG:3857", [(-180, -90, 180, 90)], "EPSG:4326").all()
    assert not near_rectangles(boxes, "EPSG:3857", [], "EPSG:4326").any()
