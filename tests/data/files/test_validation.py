"""Validation by place: no training window reaches the validation ground."""

import json

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from fakes.roofs import CRS, PLACE, SIDE, geojson, ground_box, write_scene
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize
from rasterio.transform import Affine
from rasters import write_raster
from scipy.ndimage import maximum_filter

import keras_deeplab as kd
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.files.blocks import draw_blocks
from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.data.files.labelled_scenes import CELL
from keras_deeplab.data.files.overview import validation_overview
from keras_deeplab.data.files.polygon_labels import PolygonLabels
from keras_deeplab.data.files.restricted import grown
from keras_deeplab.data.files.validation import ValidationPlace
from keras_deeplab.data.source import DataSource

WINDOW = 48
CLASSES = ClassTable(("background", "roof"))


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """The folder of a scene with roofs."""
    return write_scene(tmp_path_factory.mktemp("scene"))


def open_place(folder, place, subset, **options):
    options = {"classes": CLASSES, "place": place, "subset": subset, **options}
    return kd.data.from_rasters(folder / "a.tif", folder / "roofs.geojson", **options)


def boxes_of(dataset):
    """Yields `(rows, columns, label)` of windows, read off their pixels to 2 pixels."""
    for image, label in dataset.as_numpy_iterator():
        row, column = int(image[0, 0, 1]) * 2, int(image[0, 0, 0]) * 2
        height, width = label.shape
        yield slice(row, row + height), slice(column, column + width), label


def place_mask(polygons):
    return rasterize(polygons, (SIDE, SIDE), transform=PLACE).astype(bool)


PLACES = {
    "blocks": ValidationPlace(fraction=0.1, blocks=2, gap=WINDOW, seed=3),
    "other blocks": ValidationPlace(fraction=0.15, blocks=1, gap=WINDOW + 10, seed=4),
    "area": [
        shapely.Polygon([PLACE @ p for p in [(150, 200), (260, 290), (140, 330)]]),
        ground_box(400, -50, 470, 60),
    ],
}


@pytest.fixture(scope="module", params=PLACES)
def split(request, scene):
    """A place, its mask over the scene, and its parts."""
    place = PLACES[request.param]
    if isinstance(place, list):
        place = ValidationPlace(area=geojson(scene / "area.geojson", place), gap=WINDOW)
    source = DataSource(images=(scene / "a.tif",), labels=PolygonLabels(scene / "roofs.geojson"))
    sources = source.by_place(place, CLASSES)
    ground = shapely.from_geojson(json.dumps(sources["val"].validation.geojson()))
    to = pyproj.Transformer.from_crs("OGC:CRS84", CRS, always_xy=True).transform
    polygons = [shapely.transform(p, to, interleaved=False) for p in ground.geoms]
    return place, sources, place_mask(polygons)


def test_no_training_window_reaches_the_validation_ground(split, scene):
    """Nor does a label of it, for windows at random and on a grid."""
    place, sources, mask = split
    windows = kd.data.RandomWindows(size=WINDOW, count=400)
    dataset, counts = sources["train"].open_counted(CLASSES, windows=windows)
    seen = np.zeros(mask.shape, bool)
    for rows, columns, label in boxes_of(dataset):
        assert not mask[rows, columns].any()
        seen[rows, columns] |= label != 255
    distance = 2 * place.gap + 1
    near = maximum_filter(mask, size=distance)
    assert not (seen & near).any() and seen.sum() > 0.2 * (~near).sum()
    # What is left is all that is further away than the gap and a cell.
    far = ~maximum_filter(mask, size=2 * (place.gap + CELL) + 1)
    assert far.sum() * 0.97 <= counts.pixels.sum() <= (~near).sum()

    grid = open_place(scene, place, "train", windows=kd.data.GridWindows(WINDOW, overlap=8))
    for rows, columns, label in boxes_of(grid):
        assert not ((label != 255) & near[rows, columns]).any()


def test_the_validation_has_all_labels_of_its_ground(split, scene):
    place, sources, mask = split
    dataset, counts = sources["val"].open_counted(CLASSES)
    whole = np.full(mask.shape, 255, np.uint8)
    for rows, columns, label in boxes_of(dataset):
        part = whole[rows, columns]
        part[label != 255] = label[label != 255]
    np.testing.assert_array_equal(whole != 255, mask)
    labels = next(open_place(scene, None, "train").as_numpy_iterator())[1]
    np.testing.assert_array_equal(whole[mask], labels[mask])
    assert counts.pixels.sum() == mask.sum()
    if place.fraction:
        assert abs(mask.mean() - place.fraction) < 0.05
    found = labels_of(open_place(scene, place, "val", windows=kd.data.GridWindows(WINDOW, 8)))
    assert found == mask.sum()


def labels_of(dataset):
    return sum(int((label != 255).sum()) for _, label in dataset.as_numpy_iterator())


def test_the_seed_decides_and_the_record_says_where(scene):
    def drawn(seed):
        place = ValidationPlace(fraction=0.1, blocks=2, gap=32, seed=seed)
        labels = PolygonLabels(scene / "roofs.geojson")
        source = DataSource(images=(scene / "a.tif",), labels=labels)
        return json.dumps(source.by_place(place, CLASSES)["val"].validation.geojson())

    assert drawn(1) == drawn(1) != drawn(2)


def test_scenes_of_other_ground_and_of_the_same(scene, tmp_path):
    """A validation scene is not trained on; nor is its ground in a scene of another CRS."""
    with rasterio.open(scene / "a.tif") as raster:
        pixels = np.moveaxis(raster.read(), 0, -1)
    write_raster(tmp_path / "a.tif", pixels, crs=CRS, transform=PLACE)
    to = pyproj.Transformer.from_crs(CRS, "EPSG:3857", always_xy=True).transform
    left, top = to(*(PLACE @ (300, 250)))
    other = Affine(0.6, 0, left, 0, -0.6, top)
    write_raster(tmp_path / "b.tif", pixels[:200, :220], crs="EPSG:3857", transform=other)
    place = ValidationPlace(scenes=(tmp_path / "b.tif",), gap=WINDOW)
    labels = PolygonLabels(scene / "roofs.geojson")
    source = DataSource(images=(tmp_path,), labels=labels)
    sources = source.by_place(place, CLASSES)
    _, counts = sources["val"].open_counted(CLASSES)
    assert (counts.images, counts.pixels.sum()) == (1, 200 * 220)
    dataset, counts = sources["train"].open_counted(
        CLASSES, windows=kd.data.RandomWindows(WINDOW, 60)
    )
    assert counts.images == 1
    rows, columns = np.indices((SIDE, SIDE)) + 0.5
    x, y = ~other @ to(*(PLACE @ (columns, rows)))
    mask = (x > 0) & (x < 220) & (y > 0) & (y < 200)
    assert 0.1 < mask.mean() < 0.5
    for rows, columns, _ in boxes_of(dataset):
        assert not mask[rows, columns].any()

    with pytest.raises(ValueError, match=r"not among the scenes:\n  .*c.tif"):
        source.by_place(ValidationPlace(scenes=(tmp_path / "c.tif",)), CLASSES)
    both = ValidationPlace(scenes=(tmp_path / "a.tif", tmp_path / "b.tif"))
    with pytest.raises(ValueError, match="All scenes are for validation"):
        source.by_place(both, CLASSES)


def test_ground_that_cannot_be(scene, tmp_path):
    for options, message in (
        ({}, "needs one of area, scenes and fraction"),
        ({"fraction": 0.2, "area": "a"}, "needs one of"),
        ({"fraction": 1.2}, "between 0 and 1"),
        ({"fraction": 0.2, "blocks": 0}, "blocks must be an integer of 1 or more"),
        ({"fraction": 0.2, "gap": 0}, "gap must be an integer of 1 or more"),
    ):
        with pytest.raises(ValueError, match=message):
            ValidationPlace(**options)
    with pytest.raises(ValueError, match="windows of 64 pixels need a gap of at least 64"):
        place = ValidationPlace(fraction=0.2, gap=63)
        open_place(scene, place, "train", windows=kd.data.RandomWindows(64, 1))
    with pytest.raises(ValueError, match=r"2 blocks with 30% .* leave no ground for the training"):
        open_place(scene, ValidationPlace(fraction=0.3, blocks=2, gap=500), "val")
    with pytest.raises(ValueError, match=r"9 blocks with 90% .* have no room"):
        open_place(scene, ValidationPlace(fraction=0.9, blocks=9, gap=1), "val")
    everywhere = ValidationPlace(
        area=geojson(tmp_path / "all.geojson", [ground_box(0, 0, SIDE, SIDE)])
    )
    with pytest.raises(ValueError, match=r"No pixel of 1 scene .* gap of 1024 pixels around it"):
        open_place(scene, everywhere, "train")
    away = geojson(tmp_path / "away.geojson", [ground_box(5000, 5000, 5100, 5100)])
    with pytest.raises(ValueError, match=r"away.geojson: none of its polygons is on the scenes"):
        open_place(scene, ValidationPlace(area=away), "val")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 12))
def test_polygons_grow_by_a_square(seed, distance):
    """As the pixels do: no less than those inside, no more than those it touches."""
    random = np.random.default_rng(seed)
    polygon = shapely.convex_hull(shapely.MultiPoint(random.uniform(20, 60, (5, 2))))
    if seed % 2:
        polygon = polygon.difference(shapely.box(35, 35, 50, 45))
    if polygon.area < 4:
        return
    (larger,) = grown(np.array([polygon]), distance)
    rows, columns = np.indices((80, 80))
    centres = shapely.points(columns + 0.5, rows + 0.5)
    touched = shapely.intersects(polygon, shapely.box(columns, rows, columns + 1, rows + 1))
    found = shapely.contains(larger, centres)
    size = 2 * distance + 1
    assert (found >= maximum_filter(shapely.contains(polygon, centres), size=size)).all()
    assert (found <= maximum_filter(touched, size=size)).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.05, 0.4), st.integers(1, 5))
def test_blocks_have_their_share_and_do_not_overlap(seed, fraction, count):
    random = np.random.default_rng(seed)
    weights = [random.integers(0, 4096, (30, 40)), np.zeros((5, 5), int), np.full((9, 20), 4096)]
    blocks = draw_blocks(weights, fraction, count, seed, margin=1)
    taken = [np.zeros(image.shape, int) for image in weights]
    for image, rows, columns in blocks:
        taken[image][slice(*rows), slice(*columns)] += 1
    assert len(blocks) == count and max(map(np.max, taken)) == 1
    share = sum((image * mask).sum() for image, mask in zip(weights, taken, strict=True))
    assert abs(share / sum(image.sum() for image in weights) - fraction) <= fraction / 3 + 1e-9


def test_the_picture_shows_the_ground(scene):
    place = ValidationPlace(
        area=geojson(scene / "p.geojson", [ground_box(100, 60, 220, 160)]), gap=40
    )
    labels = PolygonLabels(scene / "roofs.geojson")
    source = DataSource(images=(scene / "a.tif",), labels=labels)
    ((opened, ground),) = source.by_place(place, CLASSES)["val"].validation_scenes()
    picture = validation_overview(opened, ground, ImageFormat())
    plain = ImageFormat().read(scene / "a.tif")[0].astype(float)
    assert picture.shape == plain.shape
    np.testing.assert_array_equal(picture[61, 110], (255, 210, 0))
    far = 40 + CELL
    np.testing.assert_allclose(picture[160 + far - 2, 200], plain[160 + far - 2, 200] * 0.35)
    np.testing.assert_array_equal(picture[160 + far + 3 :], plain[160 + far + 3 :])
    assert (picture[110, 150] != plain[110, 150]).any()
