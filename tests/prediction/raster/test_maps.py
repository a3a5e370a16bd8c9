"""The files of maps: cloud-optimised GeoTIFFs that other software understands."""

import hashlib

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio import Affine
from rasters import write_raster
from scipy.special import softmax
from tiny import tiny_networks
from toy import NAMES, toy_labels, toy_predictor

import keras_deeplab as kd
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.drawing import class_colors
from keras_deeplab.data.files.places import Grid
from keras_deeplab.prediction.raster import maps as maps_module
from keras_deeplab.prediction.raster.layout import Layout

rng = np.random.default_rng(0)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Folder of the three maps of a scene, its pixels, and where it has data."""
    folder = tmp_path_factory.mktemp("maps")
    image = rng.integers(1, 255, (1100, 1300, 3)).astype("uint8")
    image[:70, 400:700] = 0
    image[1:1099:2, 0:400, 0] = 250  # a majority of red in each quad
    image[0:1100:2, 0:400:2, 0] = 251
    write_raster(folder / "scene.tif", image, nodata=0)
    kd.predict_raster(
        toy_predictor(lambda images: images / 50),
        folder / "scene.tif",
        folder / "map.tif",
        confidence=folder / "confidence.tif",
        probabilities=folder / "probabilities.tif",
        resolution="native",
        progress=False,
    )
    return folder, image, (image != 0).any(-1)


def test_only_the_maps_are_left(written):
    names = {path.name for path in written[0].iterdir()}
    assert names == {
        *("scene.tif", "map.tif", "map.tif.aux.xml", "map.qml"),
        *("confidence.tif", "probabilities.tif"),
    }


@pytest.mark.parametrize("name", ["map.tif", "confidence.tif", "probabilities.tif"])
def test_layout(written, name):
    """Header, then overviews, then pixels, in tiles; what a range request finds at once."""
    with rasterio.open(written[0] / "scene.tif") as scene, rasterio.open(written[0] / name) as map_:
        assert map_.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert map_.crs == scene.crs and map_.transform == scene.transform
        assert map_.shape == scene.shape and set(map_.dtypes) == {"uint8"} and map_.nodata == 255
        assert map_.block_shapes[0] == (512, 512) and map_.compression.name == "deflate"
        assert map_.overviews(1) == [2, 4]
        first = [int(map_.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1, ovr=o)) for o in (0, 1)]
        assert first[1] < first[0] < int(map_.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))


def test_classes_and_their_description(written):
    folder, image, known = written
    with rasterio.open(folder / "map.tif") as map_:
        np.testing.assert_array_equal(map_.read(1), toy_labels(image, known))
        colors = map_.colormap(1)
        tags = map_.tags()
        assert map_.descriptions == ("class",) and map_.colorinterp[0].name == "palette"
    for index, color in enumerate(class_colors(ClassTable(NAMES)).tolist()):
        assert colors[index] == (*color, 255)
    assert tags["KERAS_DEEPLAB_MODEL"] == "toy"
    assert tags["KERAS_DEEPLAB_VERSION"] == kd.__version__
    assert tags["KERAS_DEEPLAB_RUNTIME"] == "keras, float32"
    assert tags["KERAS_DEEPLAB_WINDOW"] == "512, overlap 128"


def test_overviews_are_the_most_frequent_class(written):
    with rasterio.open(written[0] / "map.tif") as map_:
        labels = map_.read(1)
    with rasterio.open(written[0] / "map.tif", overview_level=0) as overview:
        found = overview.read(1)
    quads = labels.reshape(550, 2, 650, 2).swapaxes(1, 2).reshape(550, 650, 4)
    counts = np.stack([(quads == value).sum(-1) for value in (0, 1, 2)], -1)
    ordered = np.sort(counts, -1)
    unique = ordered[..., 2] > ordered[..., 1]
    assert unique.mean() > 0.5
    np.testing.assert_array_equal(found[unique], counts.argmax(-1)[unique])
    np.testing.assert_array_equal(found == 255, counts.sum(-1) == 0)


def test_confidence_and_probabilities(written):
    folder, image, known = written
    expected = softmax(image.astype("float32") / 50, axis=-1)
    with rasterio.open(folder / "confidence.tif") as map_:
        confidence = map_.read(1)
    np.testing.assert_array_equal(confidence == 255, ~known)
    np.testing.assert_allclose(confidence[known], 100 * expected.max(-1)[known], atol=0.51)
    with rasterio.open(folder / "probabilities.tif") as map_:
        probabilities = np.moveaxis(map_.read(), 0, -1)
        assert map_.descriptions == NAMES and map_.scales == pytest.approx([0.004] * 3)
    np.testing.assert_array_equal(probabilities == 255, np.dstack([~known] * 3))
    np.testing.assert_allclose(probabilities[known] * 0.004, expected[known], atol=0.0021)


def test_half_floats_keep_three_digits(tmp_path):
    image = rng.integers(1, 255, (700, 900, 3)).astype("uint8")
    image[:70, 400:700] = 0
    write_raster(tmp_path / "scene.tif", image, nodata=0)
    kd.predict_raster(
        toy_predictor(lambda images: images / 10),
        tmp_path / "scene.tif",
        tmp_path / "map.tif",
        probabilities=tmp_path / "probabilities.tif",
        probabilities_dtype="float16",
        resolution="native",
        progress=False,
    )
    expected = softmax(image.astype("float32") / 10, axis=-1)
    expected[(image == 0).all(-1)] = np.nan
    with rasterio.open(tmp_path / "probabilities.tif") as map_:
        assert map_.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG" and np.isnan(map_.nodata)
        assert map_.tags(1, ns="IMAGE_STRUCTURE")["NBITS"] == "16"
        found = np.moveaxis(map_.read(), 0, -1)
    np.testing.assert_allclose(found, expected, rtol=2**-11, atol=1e-7)  # half of the last bit


def test_large_maps_are_bigtiff(tmp_path, monkeypatch):
    """Decided at the start, by the uncompressed size; nothing has to be written to see it."""
    grid = Grid(50_000, 50_000, Affine.identity(), None)
    layout = Layout(grid, ClassTable(NAMES), {"classes": tmp_path / "map.tif"})
    for side, version in ((50_000, 43), (5_000, 42)):
        with rasterio.open(tmp_path / "band.tif", "w", **layout.profile("classes", side, side)):
            pass
        content = (tmp_path / "band.tif").read_bytes()
        assert int.from_bytes(content[2:4], "little") == version
        assert len(content) < 1e6  # of empty tiles no bytes
    copied = {}
    monkeypatch.setattr(rasterio.shutil, "copy", lambda *files, **options: copied.update(options))
    maps_module._copy_optimised(tmp_path / "a.tif", tmp_path / "b.tif", layout, "classes")
    assert copied["bigtiff"] == "IF_SAFER"


def test_a_map_names_the_weights(tmp_path):
    """Of a Keras model the arrays are hashed, as they are when the map is written."""
    write_raster(tmp_path / "scene.tif", rng.integers(1, 255, (40, 50, 3)).astype("uint8"))
    with tiny_networks():
        model = kd.build("r18_d16", 3)
    for _ in range(2):
        model.set_weights([array * 2 for array in model.get_weights()])
        arrays = b"".join(array.tobytes() for array in model.get_weights())
        kd.predict_raster(model, tmp_path / "scene.tif", tmp_path / "map.tif", progress=False)
        with rasterio.open(tmp_path / "map.tif") as map_:
            found = map_.tags()["KERAS_DEEPLAB_WEIGHTS_SHA256"]
        assert found == hashlib.sha256(arrays).hexdigest()
