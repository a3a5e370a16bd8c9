"""Scenes with polygons as labels, compared with rasterio's rasterisation of the whole scene."""

import logging
import subprocess
import sys

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from polygons import blobs, burnt, project, write_polygons
from rasterio import Affine
from rasters import damage_block, write_raster
from shapely.geometry import box
from test_windows import coded

import keras_deeplab as kd
from keras_deeplab.data.files.labelled_scenes import CELL
from keras_deeplab.data.files.places import apply_transform
from keras_deeplab.data.files.scene_blocks import BLOCK, BlockCache

UTM = "EPSG:32645"
SHAPE = (530, 600)  # more than a block
PLACE = Affine(0.5, 0, 330_000, 0, -0.5, 3_060_000)
WHOLE = kd.data.GridWindows(size=1024)


def on_ground(pixels, transform=PLACE):
    """Polygons in pixels as coordinates of a scene."""
    return shapely.transform(
        pixels, lambda xy: np.stack(apply_transform(transform, *xy.T), axis=-1)
    )


def write_scene(path, image=None, *, crs=UTM, transform=PLACE, **options):
    image = coded(*map(range, SHAPE)) if image is None else image
    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64}
    write_raster(path, image, crs=crs, transform=transform, **{**tiles, **options})
    return path


def labels_of(scenes, *arguments, windows=WHOLE, **options):
    """The label of each window."""
    dataset = kd.data.from_rasters(scenes, *arguments, windows=windows, **options)
    return [label for _, label in dataset.as_numpy_iterator()]


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """A scene, its polygons of three classes in pixels, and the file that has them."""
    folder = tmp_path_factory.mktemp("town")
    shapes = blobs(40, SHAPE[1], SHAPE[0])
    kinds = np.array(["house", "road", "pond"], object)[np.arange(40) % 3]
    path = write_polygons(folder / "town.gpkg", on_ground(shapes), UTM, kind=kinds)
    indices = np.array([1, 3, 2])[np.arange(40) % 3]  # sorted: house, pond, road
    whole = burnt(shapes, indices, SHAPE, Affine.identity())
    return write_scene(folder / "scene.tif"), path, whole


@pytest.mark.parametrize(
    ("scene_crs", "transform", "labels_crs"),
    [
        ("EPSG:3857", Affine(0.1493, 0, 9_519_926.12, 0, -0.1493, 3_202_940.8), "OGC:CRS84"),
        (UTM, PLACE, "EPSG:4326"),
        ("EPSG:4326", Affine(1.3e-6, 0, 85.52, 0, -1.3e-6, 27.63), UTM),
        ("EPSG:32645+5773", PLACE, UTM),
        (UTM, Affine(0.4, 0.3, 330_000, 0.3, -0.4, 3_060_000), UTM),
    ],
    ids=["mercator", "utm", "degrees", "vertical", "rotated"],
)
def test_labels_are_those_of_rasterio(tmp_path, scene_crs, transform, labels_crs):
    shapes = blobs(30, SHAPE[1], SHAPE[0], seed=1)
    horizontal = scene_crs.split("+")[0]
    drawn = project(on_ground(shapes, transform), horizontal, labels_crs)
    kinds = np.arange(30) % 4
    path = write_polygons(tmp_path / "labels.gpkg", drawn, labels_crs, kind=kinds)
    scene = write_scene(tmp_path / "scene.tif", crs=scene_crs, transform=transform)
    (label,) = labels_of(scene, path, class_field="kind")
    back = project(drawn, labels_crs, horizontal)
    expected = burnt(back, kinds + 1, SHAPE, transform)
    assert len(np.unique(expected)) == 5
    np.testing.assert_array_equal(label, expected)


def test_random_windows_are_crops_of_the_whole(town):
    scene, path, whole = town
    windows = kd.data.RandomWindows(size=100, count=60, seed=3)
    dataset = kd.data.from_rasters(scene, path, class_field="kind", windows=windows)
    assert len(dataset) == 60 and dataset.class_names == ["background", "house", "pond", "road"]
    corners = set()
    for image, label in dataset.as_numpy_iterator():
        row, column, high = image[0, 0].astype(int)
        row, column = row + high // 16 * 256, column + high % 16 * 256
        rows, columns = slice(row, row + 100), slice(column, column + 100)
        np.testing.assert_array_equal(image, coded(*map(range, SHAPE))[rows, columns])
        np.testing.assert_array_equal(label, whole[rows, columns])
        corners.add((row, column))
    assert len(corners) > 55
    assert (np.max(list(corners), 0) > [400, 450]).all() and (np.min(list(corners), 0) < 30).all()


@pytest.mark.parametrize("overlap", [0, 30])
def test_a_grid_counts_every_pixel_once(town, overlap):
    scene, path, whole = town
    windows = kd.data.GridWindows(size=200, overlap=overlap)
    dataset = kd.data.from_rasters(scene, path, class_field="kind", windows=windows)
    found, counted = np.full(SHAPE, 255, np.uint8), np.zeros(SHAPE, int)
    for image, label in dataset.as_numpy_iterator():
        assert label.shape == (200, 200)
        row, column, high = (image[..., band].astype(int) for band in range(3))
        place = row + high // 16 * 256, column + high % 16 * 256
        inner = label != 255
        found[place[0][inner], place[1][inner]] = label[inner]
        np.add.at(counted, (place[0][inner], place[1][inner]), 1)
        edges = place[0][0, 0], place[1][0, 0]
        if overlap and edges[0] and edges[1]:  # surroundings on all sides
            assert not inner[: overlap // 2].any() and not inner[:, : overlap // 2].any()
    np.testing.assert_array_equal(found, whole)
    assert (counted == 1).all()


@pytest.mark.parametrize("all_touched", [False, True])
def test_labels_do_not_depend_on_the_window(tmp_path, all_touched):
    """Edges that meet corners and centres of pixels, where rasterisation is decided by rounding."""
    random = np.random.default_rng(0)
    shapes = [
        shapely.convex_hull(shapely.multipoints(np.rint(2 * points) / 2))
        for points in random.uniform(0, 60, (60, 4, 2)) + random.uniform(-20, 560, (60, 1, 2))
    ]
    kinds = np.arange(60) % 5
    path = write_polygons(tmp_path / "labels.gpkg", on_ground(np.array(shapes)), UTM, kind=kinds)
    scene = write_scene(tmp_path / "scene.tif")
    options = {"class_field": "kind", "all_touched": all_touched}
    (whole,) = labels_of(scene, path, **options)
    expected = burnt(shapes, kinds + 1, SHAPE, Affine.identity(), all_touched=all_touched)
    if all_touched:  # GDAL decides some pixels by how it clips edges to the raster
        assert (whole != expected).mean() < 1e-3
        assert (whole != burnt(shapes, kinds + 1, SHAPE, Affine.identity())).mean() > 0.005
    else:
        np.testing.assert_array_equal(whole, expected)
    windows = kd.data.RandomWindows(size=77, count=80)
    dataset = kd.data.from_rasters(scene, path, windows=windows, **options)
    for image, label in dataset.as_numpy_iterator():
        row, column, high = image[0, 0].astype(int)
        row, column = row + high // 16 * 256, column + high % 16 * 256
        np.testing.assert_array_equal(label, whole[row : row + 77, column : column + 77])


def test_scenes_of_several_systems_and_resolutions(tmp_path):
    """Two scenes side by side, the second in degrees and coarser; both are read at 1 m."""
    shapes = on_ground(blobs(30, 2 * SHAPE[1], SHAPE[0], seed=2))
    path = write_polygons(tmp_path / "labels.gpkg", shapes, UTM, kind=["a"] * 30)
    slope = np.broadcast_to(np.arange(SHAPE[1])[:, np.newaxis] // 3, (*SHAPE, 3))
    write_scene(tmp_path / "scenes/first.tif", slope.astype(np.uint8))
    east = Affine(1, 0, PLACE.c + 300, 0, -1, PLACE.f)
    image = np.random.default_rng(0).integers(0, 256, (264, 300, 3)).astype(np.uint8)
    write_scene(tmp_path / "scenes/second.tif", image, transform=east)
    dataset = kd.data.from_rasters(
        tmp_path / "scenes", path, class_field="kind", resolution=1.0, windows=WHOLE
    )
    (slope, half), (same, label) = dataset.as_numpy_iterator()
    # UTM is 0.04 % short of the ground at its central meridian, and here a little less.
    metres = pyproj.Geod(ellps="WGS84").line_length(
        *pyproj.Transformer.from_crs(UTM, "EPSG:4326", always_xy=True).transform(
            [PLACE.c, PLACE.c + 300], [PLACE.f - 130] * 2
        )
    )
    assert half.shape == (round(265 * metres / 300), round(300 * metres / 300))
    fine = Affine(300 / half.shape[1], 0, PLACE.c, 0, -265 / half.shape[0], PLACE.f)
    np.testing.assert_array_equal(half, burnt(shapes, [1] * 30, half.shape, fine))
    expected = (np.arange(half.shape[1]) + 0.5) * (300 / half.shape[1]) * 2 / 3
    assert np.abs(slope - expected[:, np.newaxis]).max() < 1.5
    assert label.shape == same.shape[:2]
    near = Affine(300 / label.shape[1], 0, east.c, 0, -264 / label.shape[0], east.f)
    np.testing.assert_array_equal(label, burnt(shapes, [1] * 30, label.shape, near))


def test_random_windows_are_where_labels_are(tmp_path):
    """Also with labels on a small part, and pixels in proportion to what is labelled."""
    spots = [box(10, 10, 30, 30), box(500, 400, 520, 440)]
    path = write_polygons(tmp_path / "labels.gpkg", on_ground(np.array(spots)), UTM, kind=["a"] * 2)
    scene = write_scene(tmp_path / "scene.tif")
    windows = kd.data.RandomWindows(size=128, count=150)
    found = labels_of(scene, path, class_field="kind", classes=["a", "b"], windows=windows)
    assert np.mean([(label == 0).any() for label in found]) > 0.9
    full = labels_of(scene, path, class_field="kind", classes=["a", "b"])[0]
    assert (full == 255).sum() == full.size - 400 - 800
    assert BLOCK % CELL == 0


@pytest.mark.parametrize(
    ("classes", "field", "expected"),
    [
        (None, np.array(["b", "a", None, "b"], object), [2, 1, 255, 2]),
        (None, np.array([10, 9, 2, 9]), [3, 2, 1, 2]),
        (None, np.array([10.0, 9.0, np.nan, 9.0]), [2, 1, 255, 1]),
        (None, np.array(["background", "a", " ", "a "], object), [0, 1, 255, 1]),
        (["background", "a", "b"], np.array(["b", "a", "background", "1"], object), [2, 1, 0, 1]),
        (["a", "b"], np.array([1, 0, 255, 1]), [1, 0, 255, 1]),
        (["a", "b", "2"], np.array(["2", "0", "b", ""], object), [2, 0, 1, 255]),
    ],
)
def test_the_class_of_a_polygon(tmp_path, classes, field, expected):
    squares = np.array([box(50 * n, 20, 50 * n + 30, 60) for n in range(4)])
    path = write_polygons(tmp_path / "labels.gpkg", on_ground(squares), UTM, kind=field)
    scene = write_scene(tmp_path / "scene.tif")
    (label,) = labels_of(scene, path, class_field="kind", classes=classes)
    background = classes is None or "background" in classes
    fill = 0 if background else 255
    np.testing.assert_array_equal(
        label, burnt(squares, expected, SHAPE, Affine.identity(), fill=fill)
    )


def test_values_without_a_class(tmp_path, caplog):
    squares = on_ground(np.array([box(50 * n, 20, 50 * n + 30, 60) for n in range(5)]))
    kinds = np.array(["House", "house", None, "House", "7"], object)
    path = write_polygons(tmp_path / "labels.gpkg", squares, UTM, kind=kinds)
    scene = write_scene(tmp_path / "scene.tif")
    options = {"class_field": "kind", "classes": ["background", "house"]}
    message = (
        r"labels.gpkg, field 'kind': values that are not classes \(background, house\):\n"
        r"  '7' in 1 polygon\n  'House' in 2 polygons \(did you mean 'house'\?\)\n.*"
        "--ignore-unknown"
    )
    with pytest.raises(ValueError, match=message):
        labels_of(scene, path, **options)
    with caplog.at_level(logging.WARNING):
        (label,) = labels_of(scene, path, **options, ignore_unknown=True)
    assert "the ground of 1 polygon without a value is ignored" in caplog.text
    assert "not classes; their ground is ignored:\n  '7' in 1 polygon" in caplog.text
    assert label[40, [10, 60, 110, 160, 210, 400]].tolist() == [255, 1, 255, 255, 255, 0]


def test_one_class_needs_no_field(tmp_path):
    square = on_ground(np.array([box(50, 20, 90, 60)]))
    path = write_polygons(tmp_path / "ponds.geojson", square, UTM, kind=["x"])
    scene = write_scene(tmp_path / "scene.tif")
    dataset = kd.data.from_rasters(scene, path)
    assert dataset.class_names == ["background", "ponds"]
    (label,) = labels_of(scene, path, classes=["land", "background"])
    assert label[40, 70] == 0 and label[100, 100] == 1
    with pytest.raises(ValueError, match=r"2 classes \(a, b\): name the field .* --class-field"):
        labels_of(scene, path, classes=["background", "a", "b"])


@pytest.mark.parametrize(
    ("order", "expected"),
    [(None, "cab"), (("a", "b", "c"), "abc"), (("c", "a"), "bca"), ("height", "bac")],
)
def test_burn_order(tmp_path, order, expected):
    """Four squares in each other's way; `expected` are the classes from bottom to top."""
    kinds, heights = np.array(["c", "a", "b"], object), np.array([3.5, 2, -1])
    strips = np.array([box(20, 20, 100, 60), box(40, 30, 120, 70), box(60, 10, 80, 90)])
    path = write_polygons(
        tmp_path / "labels.gpkg", on_ground(strips), UTM, kind=kinds, height=heights
    )
    scene = write_scene(tmp_path / "scene.tif")
    (label,) = labels_of(scene, path, class_field="kind", burn_order=order)
    upwards = [list(kinds).index(kind) for kind in expected]
    values = ["abc".index(kind) + 1 for kind in expected]
    np.testing.assert_array_equal(label, burnt(strips[upwards], values, SHAPE, Affine.identity()))


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ("hight", "there is no field 'hight'. Fields: kind"),
        ("kind", "field of numbers; the values of 'kind' are not numbers"),
        (("a", "z"), "--burn-order a,z: expected different classes of background, a, b"),
        (("a", "a"), "--burn-order a,a: expected different classes"),
    ],
)
def test_wrong_burn_orders(tmp_path, order, message):
    square = on_ground(np.array([box(20, 20, 100, 60)] * 2))
    path = write_polygons(tmp_path / "labels.gpkg", square, UTM, kind=["a", "b"])
    with pytest.raises(ValueError, match=message):
        labels_of(write_scene(tmp_path / "scene.tif"), path, class_field="kind", burn_order=order)


def test_ground_that_is_not_labelled(tmp_path, town):
    """Outside of the labelled area, and where the scene has no data."""
    _, path, whole = town
    image = coded(*map(range, SHAPE))
    image[..., 2] += 1
    image[200:260, 300:420] = 0
    scene = write_scene(tmp_path / "scene.tif", image, nodata=0)
    area = on_ground(np.array([box(100, -5, 450, 300), box(480, 100, 520, 700)]))
    area_path = write_polygons(
        tmp_path / "area.geojson", project(area, UTM, "EPSG:4326"), "EPSG:4326"
    )
    (label,) = labels_of(scene, path, class_field="kind", labelled_area=area_path)
    inside = burnt(area, [1, 1], SHAPE, PLACE) == 1
    inside[200:260, 300:420] = False
    np.testing.assert_array_equal(label, np.where(inside, whole, 255))


def test_layers(tmp_path):
    square = on_ground(np.array([box(50, 20, 90, 60)]))
    path = tmp_path / "labels.gpkg"
    for name, kind in (("old", "a"), ("new", "b")):
        write_polygons(path, square, UTM, layer=name, kind=[kind])
    scene = write_scene(tmp_path / "scene.tif")
    dataset = kd.data.from_rasters(scene, path, class_field="kind", layer="new")
    assert dataset.class_names == ["background", "b"]
    with pytest.raises(ValueError, match=r"several layers.* old .*, new"):
        kd.data.from_rasters(scene, path, class_field="kind")


def test_scenes_and_polygons_that_do_not_meet(tmp_path, town, caplog):
    scene, path, _ = town
    far = write_scene(tmp_path / "far.tif", transform=Affine(0.5, 0, 340_000, 0, -0.5, 3_060_000))
    with pytest.raises(ValueError, match="none of its 40 polygons is on the scenes") as error:
        labels_of(far, path, class_field="kind")
    assert f"({far}). In the CRS of the file, WGS 84 / UTM zone 45N, the polygons are in x 32" in (
        str(error.value)
    )
    assert "the scene in x 340000 to 340300, y 3059735 to 3060000." in str(error.value)
    with caplog.at_level(logging.WARNING):
        assert len(labels_of([scene, far], path, class_field="kind")) == 2
    assert f"1 of 2 scenes have no polygon. If they are not labelled, leave them out:\n  {far}" in (
        caplog.text
    )
    empty = write_polygons(
        tmp_path / "area.gpkg", on_ground(np.array([box(9000, 0, 9010, 10)])), UTM
    )
    with pytest.raises(ValueError, match="No pixel of 1 scene is labelled"):
        labels_of(scene, path, class_field="kind", labelled_area=empty)


def test_scenes_that_cannot_be_used(tmp_path, town):
    _, path, _ = town
    image = np.zeros((20, 20, 3), np.uint8)
    write_scene(tmp_path / "a.tif", image, crs=None)
    write_scene(tmp_path / "b.tif", image, transform=None)
    write_scene(tmp_path / "c.tif", image[..., :2])
    (tmp_path / "d.tif").write_bytes(b"no raster")
    with pytest.raises(ValueError) as error:
        labels_of([tmp_path / f"{name}.tif" for name in "abcd"], path, class_field="kind")
    text = str(error.value)
    assert "a.tif has no CRS" in text and "b.tif has no geotransform" in text
    assert "c.tif has 2 bands" in text and "d.tif: cannot be read" in text
    write_scene(tmp_path / "e.tif", image.astype(np.uint16))
    with pytest.raises(ValueError, match=r"e.tif is uint16"):
        labels_of(tmp_path / "e.tif", path, class_field="kind")
    with pytest.raises(ValueError, match="Scenes that are named twice"):
        labels_of([tmp_path / "a.tif"] * 2, path, class_field="kind")


def test_unreadable_parts(tmp_path, town):
    """With `BadFiles` other windows take their place."""
    _, path, _ = town
    noise = np.random.default_rng(0).integers(1, 256, (*SHAPE, 3)).astype(np.uint8)
    scene = write_scene(
        tmp_path / "scene.tif", noise, nodata=0, compress="deflate", blockxsize=512, blockysize=512
    )
    damage_block(scene, 1, 0)
    with pytest.raises(ValueError, match=r"scene.tif: cannot be read as a raster"):
        labels_of(scene, path, class_field="kind")
    bad_files = kd.data.BadFiles()
    windows = kd.data.RandomWindows(size=64, count=60)
    found = labels_of(scene, path, class_field="kind", windows=windows, bad_files=bad_files)
    assert len(found) == 60 and len(bad_files) == 1
    assert len(np.unique(found)) == 4


def test_blocks_in_memory():
    block = np.zeros((10, 10, 3), np.uint8), np.zeros((10, 10), np.uint8)
    cache = BlockCache(1000)
    for key in "abab":
        cache.put(key, block)
    assert cache.get("a") is block
    cache.put("c", block)  # the third is one too many: b was used before a
    assert [cache.get(key) is block for key in "abc"] == [True, False, True]


def test_the_sides_of_a_grid():
    for options, message in (
        ({"size": 0}, "size must be an integer of 1 or more, got 0"),
        ({"size": 100, "overlap": 51}, "overlap must be at most half of the size 100, got 51"),
    ):
        with pytest.raises(ValueError, match=message):
            kd.data.GridWindows(**options)


HUGE = 20_000
PEAK = """
import resource, sys
import numpy as np, tensorflow as tf
import keras_deeplab as kd
from keras_deeplab.data.files import scene_blocks
scene, labels = sys.argv[1:]
list(tf.data.Dataset.range(2).map(lambda i: tf.numpy_function(np.sqrt, [1.0], tf.float32)))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
scene_blocks.MOST = 64 * 2**20
windows = kd.data.RandomWindows(size=512, count=200)
dataset = kd.data.from_rasters(scene, labels, class_field="kind", windows=windows)
assert sum(int((label == 1).any()) for _, label in dataset.as_numpy_iterator()) > 20
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_a_huge_scene_is_never_read_whole(tmp_path):
    """Its pixels are 1.2 GB, its labels 0.4 GB."""
    profile = {
        **{"driver": "GTiff", "dtype": "uint8", "height": HUGE, "width": HUGE, "count": 3},
        **{"tiled": True, "compress": "deflate", "sparse_ok": True},
    }
    with rasterio.open(tmp_path / "scene.tif", "w", crs=UTM, transform=PLACE, **profile):
        pass
    shapes = on_ground(blobs(3000, HUGE, HUGE))
    path = write_polygons(tmp_path / "labels.gpkg", shapes, UTM, kind=["a"] * 3000)
    command = [sys.executable, "-c", PEAK, str(tmp_path / "scene.tif"), str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(result.stdout) < 500 * 1024 * (1 if sys.platform != "darwin" else 1024)
