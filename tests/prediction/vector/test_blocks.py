"""Polygons of label maps in memory, against GDAL's polygons and by burning them back."""

import numpy as np
import pytest
import shapely
from rasterio import features

from keras_deeplab.prediction.vector.blocks import find_polygons
from keras_deeplab.prediction.vector.parts import join_parts

NONE = 255


class ArrayReader:
    """A map in memory; a pixel has 2 square metres, and its class as confidence."""

    def __init__(self, labels):
        self.labels = np.asarray(labels, np.uint8)
        self.height, self.width = self.labels.shape
        self._around = np.pad(self.labels, 1, constant_values=NONE)

    def values(self, top, left, height, width):
        return self._around[top + 1 : top + 1 + height, left + 1 : left + 1 + width].copy()

    def weights(self, top, left, height, width):
        ones = np.ones((height, width))
        labels = self.labels[top : top + height, left : left + width]
        return [2 * ones, labels.astype(float), ones]


def polygons(labels, block=64, tolerance=0.0):
    found = list(find_polygons(ArrayReader(labels), tolerance=tolerance, block=block))
    assert sum(pixels for _, pixels in found) == np.size(labels)
    return join_parts([parts for parts, _ in found])


def as_text(values, shapes):
    normal = shapely.normalize(np.array(shapes, object))
    return sorted(zip(values, shapely.to_wkt(normal).tolist(), strict=True))


def of_gdal(labels):
    """Classes and polygons, without points at which the border does not turn."""
    found = features.shapes(labels, mask=labels != NONE, connectivity=4)
    return zip(*((int(value), shapely.geometry.shape(each)) for each, value in found), strict=True)


def burned(parts, shape):
    labels = np.full(shape, NONE, np.uint8)
    if len(parts.values):
        features.rasterize(zip(parts.shapes, parts.values, strict=True), out=labels)
    return labels


def random_labels(seed):
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 24, 2)
    return rng.choice([0, 1, 2, 3, NONE], shape, p=rng.dirichlet(np.ones(5))).astype(np.uint8)


@pytest.mark.parametrize("seed", range(12))
def test_random_maps(seed):
    labels = random_labels(seed)
    expected = as_text(*of_gdal(labels))
    for block in (2, 7, 64):
        found = polygons(labels, block)
        assert as_text(found.values.tolist(), found.shapes) == expected
        assert shapely.is_valid(found.shapes).all()
        np.testing.assert_array_equal(burned(found, labels.shape), labels)
        np.testing.assert_array_equal(shapely.area(found.shapes), found.totals[:, 0])
        np.testing.assert_array_equal(
            found.totals[:, 1:], found.totals[:, :1] * np.array([2, 0, 1]) + of_classes(found)
        )


def of_classes(found):
    confidence = found.totals[:, 0] * found.values
    return np.column_stack((0 * confidence, confidence, 0 * confidence))


def test_a_map_without_data_has_no_polygons():
    assert not len(polygons(np.full((5, 7), NONE)).values)


def test_a_checkerboard():
    labels = np.indices((9, 10)).sum(0) % 2
    found = polygons(labels, block=4)
    assert len(found.values) == 90 and (found.totals[:, 0] == 1).all()
    boxes = [shapely.box(x, y, x + 1, y + 1) for y in range(9) for x in range(10)]
    assert as_text(found.values.tolist(), found.shapes) == as_text(labels.ravel().tolist(), boxes)


@pytest.mark.parametrize("block", [2, 5, 64])
def test_one_polygon_through_every_strip(block):
    """A serpentine of whose border no point lies on a straight edge."""
    labels = np.full((41, 12), NONE, np.uint8)
    labels[::2] = 7
    labels[1::4, -1] = labels[3::4, 0] = 7
    (shape,) = polygons(labels, block).shapes
    assert shape.area == (labels == 7).sum() and not shape.interiors
    assert len(shape.exterior.coords) == 4 * 20 + 4 + 1


@pytest.mark.parametrize("block", [3, 64])
def test_nested_holes(block):
    size = 21
    y, x = np.indices((size, size))
    labels = np.minimum.reduce([y, x, size - 1 - y, size - 1 - x]) % 3
    found = polygons(labels, block)
    assert sorted(len(shape.interiors) for shape in found.shapes) == [0] + 10 * [1]
    assert sorted(len(shape.exterior.coords) for shape in found.shapes) == 11 * [5]
    np.testing.assert_array_equal(burned(found, labels.shape), labels)


@pytest.mark.parametrize("block", [1, 2, 64])
def test_pixels_that_touch_at_a_corner_are_not_connected(block):
    found = polygons(np.where(np.eye(6, dtype=bool), 1, NONE), block)
    assert len(found.values) == 6 and (shapely.area(found.shapes) == 1).all()


@pytest.mark.parametrize("block", [1, 2, 64])
def test_a_ring_that_touches_itself_is_an_exterior_and_a_hole(block):
    labels = np.array([[1, 1, 1], [1, NONE, 1], [1, 1, NONE]])
    (shape,) = polygons(labels, block).shapes
    assert shape.is_valid and shape.area == 7 and len(shape.interiors) == 1


def test_finished_polygons_are_not_kept():
    """At most the rows of one strip after its last one, a polygon is written."""
    labels = np.full((400, 40), NONE, np.uint8)
    labels[::4, ::4] = 1
    labels[:, 39] = 2
    row, where = 0, []
    for parts, pixels in find_polygons(ArrayReader(labels), block=40):
        row += pixels // 40
        assert all(shape.bounds[3] > row - 80 for shape in parts.shapes[parts.values == 1])
        where += [row] * (parts.values == 2).sum()
    assert where == [400]


def smooth_labels(seed, shape=(96, 110)):
    from scipy import ndimage

    noise = np.random.default_rng(seed).standard_normal((4, *shape))
    labels = ndimage.gaussian_filter(noise, (0, 2, 2)).argmax(0).astype(np.uint8)
    labels[labels == 3] = NONE
    return labels


@pytest.mark.parametrize("labels", [*map(smooth_labels, range(3)), *map(random_labels, range(3))])
@pytest.mark.parametrize("block", [16, 41, 200])
def test_simplified_polygons_fit_together(labels, block):
    exact, found = polygons(labels, block), polygons(labels, block, tolerance=1.5)
    assert shapely.coverage_is_valid(found.shapes)
    assert shapely.is_valid(found.shapes).all() and not shapely.is_empty(found.shapes).any()
    order, exact_order = (np.lexsort((*each.totals.T, each.values)) for each in (found, exact))
    for ours, theirs in zip(found[:2], exact[:2], strict=True):  # of the pixels, as before
        np.testing.assert_array_equal(ours[order], theirs[exact_order])
    if labels.size > 1000:
        points = [shapely.get_num_coordinates(each.shapes).sum() for each in (found, exact)]
        assert points[0] < 0.8 * points[1]
    assert (found.totals[:, 0] > 40).sum() == (exact.totals[:, 0] > 40).sum()
    for shape, pixels in zip(found.shapes, found.totals[:, 0], strict=True):
        if pixels > 40:
            assert shape.area == pytest.approx(pixels, rel=0.25)


def test_simplified_gaps_are_those_of_the_map():
    """What is left out between polygons keeps its common border with them, too."""
    labels = smooth_labels(5)
    everything = np.where(labels == NONE, 3, labels)
    shown = polygons(labels, 32, tolerance=2)
    whole = polygons(everything, 32, tolerance=2)
    same = whole.values != 3
    assert as_text(shown.values.tolist(), shown.shapes) == as_text(
        whole.values[same].tolist(), whole.shapes[same]
    )
    assert shapely.area(whole.shapes).sum() == pytest.approx(labels.size)
