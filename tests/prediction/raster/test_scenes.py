"""`predict_raster` from files to maps, with a model whose right answer is known."""

import io
import logging
import subprocess

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasterio.transform import from_origin
from rasters import PLACE, damage_block, write_raster
from toy import start_python, toy_labels, toy_predictor

import keras_deeplab as kd
from keras_deeplab.prediction.protocols import Protocol
from keras_deeplab.runtimes.predictor import Network, Predictor

rng = np.random.default_rng(0)
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def picture(*shape):
    return rng.integers(1, 255, shape).astype("uint8")


def predict(source, folder, **options):
    """Labels, open map and result of a scene in windows of 64 pixels."""
    options = {"resolution": "native", "window": 64, "overlap": 16, **options}
    predictor = options.pop("predictor", None) or toy_predictor()
    result = kd.predict_raster(predictor, source, folder / "map.tif", progress=False, **options)
    with rasterio.open(folder / "map.tif") as written:
        labels = written.read(1)
    assert result["nodata_pixels"] == (labels == 255).sum()
    assert (result["height"], result["width"]) == labels.shape
    assert [row["pixels"] for row in result["classes"]] == [
        (labels == index).sum() for index in range(3)
    ]
    return labels, written, result


@pytest.mark.parametrize(
    "name, options",
    [
        ("big.tif", {"driver": "GTiff", "BIGTIFF": "YES"}),
        ("cog.tif", {"driver": "COG"}),
        ("scene.vrt", {"driver": "VRT"}),
        ("scene.jp2", {"driver": "JP2OpenJPEG", "QUALITY": 100, "REVERSIBLE": "YES"}),
        ("scene.png", {"driver": "PNG"}),
        ("scene.jpg", {"driver": "JPEG"}),
        ("world.png", {"driver": "PNG", "WORLDFILE": "YES"}),
        ("world.jpg", {"driver": "JPEG", "WORLDFILE": "YES"}),
    ],
)
def test_what_gdal_reads(tmp_path, name, options):
    write_raster(tmp_path / "original.tif", picture(100, 150, 3))
    rasterio.shutil.copy(tmp_path / "original.tif", tmp_path / name, **options)
    if name.startswith("world"):
        (tmp_path / f"{name}.aux.xml").unlink()
    labels, written, result = predict(tmp_path / name, tmp_path)
    with rasterio.open(tmp_path / name) as scene:
        expected = toy_labels(np.moveaxis(scene.read(), 0, -1))
        assert scene.crs == written.crs == (None if name.startswith("world") else PLACE["crs"])
    np.testing.assert_array_equal(labels, expected)
    assert written.transform.almost_equals(PLACE["transform"])
    assert (result["classes"][0]["hectares"] is None) == name.startswith("world")


def test_an_address(tmp_path, monkeypatch):
    """A cloud-optimised GeoTIFF is read over HTTP in parts, not as a whole."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    image = picture(700, 600, 3)
    write_raster(tmp_path / "scene.tif", image)
    rasterio.shutil.copy(tmp_path / "scene.tif", tmp_path / "cog.tif", driver="COG")
    # In another process: GDAL asks for sidecar files without releasing Python's lock.
    server = start_python(SERVER, tmp_path / "cog.tif", stdin=subprocess.PIPE)
    address = server.stdout.readline().strip()
    for url in (f"{address}/a/cog.tif", f"/vsicurl/{address}/b/cog.tif"):
        labels, written, _ = predict(url, tmp_path, window=512, overlap=64)
        np.testing.assert_array_equal(labels, toy_labels(image))
        assert written.crs == PLACE["crs"]
    said, _ = server.communicate(timeout=60)
    assert "/a/cog.tif bytes=" in said and "/b/cog.tif bytes=" in said


SERVER = """
import pathlib, sys
from servers import RangeHandler, Server, running

with running(Server(RangeHandler)) as server:
    server.content = pathlib.Path(sys.argv[1]).read_bytes()
    print(server.address, flush=True)
    sys.stdin.read()
    for path, wanted in server.seen:
        print(path, wanted)
"""


@pytest.mark.parametrize(
    "place",
    [
        {"transform": Affine(0.3, 0.4, 300_000, 0.4, -0.3, 2_800_000)},  # rotated
        {"transform": from_origin(300_000, 2_800_000, 0.5, -0.5)},  # south-up
        {"crs": None},
        {"crs": None, "transform": None},
    ],
)
def test_place_is_that_of_the_scene(tmp_path, place, caplog):
    image = picture(70, 90, 3)
    write_raster(tmp_path / "scene.tif", image, **place)
    labels, written, result = predict(tmp_path / "scene.tif", tmp_path, resolution="model")
    place = {**PLACE, **place}
    assert written.crs == place["crs"]
    assert written.transform == (place["transform"] or Affine.identity())
    np.testing.assert_array_equal(labels, toy_labels(image))
    assert len([r for r in caplog.records if "unknown" in r.getMessage()]) == 1
    known = place["crs"] is not None
    assert (result["resolution_m"] is not None) == known
    assert (result["classes"][0]["hectares"] is not None) == known


def test_ground_control_points_are_kept(tmp_path):
    points = [
        GroundControlPoint(row, column, 300_000 + column, 2_800_000 - row)
        for row, column in ((0, 0), (0, 80), (64, 0), (64, 80))
    ]
    write_raster(tmp_path / "gcps.tif", picture(64, 80, 3), transform=None, gcps=points)
    _, _, result = predict(tmp_path / "gcps.tif", tmp_path)
    with rasterio.open(tmp_path / "map.tif") as written:
        found, crs = written.gcps
    assert crs == PLACE["crs"] and written.transform.is_identity
    assert [(p.row, p.col, p.x, p.y) for p in found] == [(p.row, p.col, p.x, p.y) for p in points]
    hectares = sum(row["hectares"] for row in result["classes"])
    assert hectares == pytest.approx(64 * 80 / 1e4, rel=1e-3)


def test_sixteen_bits_and_floats_and_other_bands(tmp_path):
    image = picture(80, 100, 3)
    bands = np.dstack([image[..., 2], image[..., 0], image[..., 1], image[..., 0]])
    for dtype, factor in (("uint16", 16), ("float32", 1 / 255), ("int16", 100)):
        write_raster(tmp_path / f"{dtype}.tif", bands.astype(dtype) * np.dtype(dtype).type(factor))
        options = {"bands": (2, 3, 1), "value_range": (0, 255 * factor)}
        labels, _, _ = predict(tmp_path / f"{dtype}.tif", tmp_path, **options)
        np.testing.assert_array_equal(labels, toy_labels(image))
        predictor = toy_predictor(**options)  # also where the model says so
        labels, _, _ = predict(tmp_path / f"{dtype}.tif", tmp_path, predictor=predictor)
        np.testing.assert_array_equal(labels, toy_labels(image))


def test_nodata_is_exactly_where_no_band_has_data(tmp_path):
    image = picture(150, 200, 3)
    known = rng.random((150, 200)) < 0.9
    known[:70, 50:160] = False
    known[20, 100] = True  # alone in its window
    image[~known] = 255
    image[100:110, :, 0] = 255  # bright in one band is data
    write_raster(tmp_path / "scene.tif", image)
    labels, _, _ = predict(tmp_path / "scene.tif", tmp_path, nodata=255)
    expected = (image != 255).any(-1)
    np.testing.assert_array_equal(labels, toy_labels(image, expected))
    write_raster(tmp_path / "scene.tif", image, nodata=255)
    labels, _, _ = predict(tmp_path / "scene.tif", tmp_path)
    np.testing.assert_array_equal(labels, toy_labels(image, expected))


def test_a_lone_valid_pixel_is_predicted_at_a_coarser_resolution(tmp_path):
    """Resampling takes the nearest pixels of a mask and would miss it."""
    image = np.zeros((300, 300, 3), "uint8")
    places = [(0, 0), (1, 150), (151, 149), (299, 299), (77, 298)]
    for place in places:
        image[place] = (10, 250, 20)
    write_raster(tmp_path / "scene.tif", image, nodata=0)
    bias = np.array([1, 2, 3], "float32")  # of what has no scores the class would be 0
    predictor = toy_predictor(lambda images: images + bias)
    labels, _, _ = predict(tmp_path / "scene.tif", tmp_path, resolution=4.0, predictor=predictor)
    assert (labels != 255).sum() == len(places)
    assert 0 not in [labels[place] for place in places]


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (31, 33), (64, 64), (65, 129)])
@pytest.mark.parametrize("resolution", ["native", 1.2, 0.3])
def test_every_valid_pixel_is_predicted_in_scenes_of_any_size(tmp_path, size, resolution):
    """Left half red, right half blue: also resampled, each pixel but those of the border."""
    image = np.zeros((*size, 3), "uint8")
    middle = size[1] // 2
    image[:, :middle, 0], image[:, middle:, 2] = 200, 200
    write_raster(tmp_path / "scene.tif", image)
    labels, _, result = predict(tmp_path / "scene.tif", tmp_path, resolution=resolution)
    assert labels.shape == size and result["nodata_pixels"] == 0
    away = np.abs(np.arange(size[1]) + 0.5 - middle) > 3
    np.testing.assert_array_equal(labels[:, away], toy_labels(image)[:, away])


def test_the_default_windows(tmp_path):
    image = picture(600, 700, 3)
    write_raster(tmp_path / "scene.tif", image)
    sizes = []
    predictor = toy_predictor(lambda images: sizes.append(images.shape) or images)
    result = kd.predict_raster(predictor, tmp_path / "scene.tif", tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as written:
        np.testing.assert_array_equal(written.read(1), toy_labels(image))
    assert set(sizes) == {(1, 512, 512, 3)} and len(sizes) == 4
    assert result["predicted_at_m"] == result["resolution_m"] == pytest.approx(0.5, rel=1e-3)


def test_a_scene_of_another_resolution_is_predicted_at_the_models(tmp_path, caplog):
    write_raster(tmp_path / "scene.tif", picture(300, 260, 3))
    sizes = []
    predictor = toy_predictor(
        lambda images: sizes.append(images.shape[1:3]) or images, resolution_m=1.0
    )
    options = {"resolution": "model", "window": 512, "predictor": predictor}
    labels, _, result = predict(tmp_path / "scene.tif", tmp_path, **options)
    assert sizes == [(150, 130)] and labels.shape == (300, 260)
    assert result["predicted_at_m"] == pytest.approx(1, rel=1e-6)
    said = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(said) == 1 and "1 m" in said[0]


def test_too_coarse_a_scene_is_refused_before_any_work(tmp_path):
    write_raster(tmp_path / "scene.tif", picture(64, 64, 3))
    predictor = failing_predictor(resolution_m=0.1)
    with pytest.raises(ValueError, match=r"enlarged 5\.0 times"):
        predict(tmp_path / "scene.tif", tmp_path, resolution="model", predictor=predictor)
    assert [path.name for path in tmp_path.iterdir()] == ["scene.tif"]


def failing_predictor(**metadata):
    def fail(images):
        raise AssertionError("the model was run")

    return toy_predictor(fail, **metadata)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"bands": (1, 2)}, r"takes 3 channels \(RGB\), but 2 bands are to be read: 1, 2"),
        ({"bands": (1, 2, 5)}, "no band 5"),
        ({"value_range": (0, 4095)}, "8-bit"),
        ({"target": "map.png"}, r"ends in \.tif"),
        ({"confidence": "map.jpg"}, r"map\.jpg: maps are written as GeoTIFF"),
        ({"confidence": "map.tif"}, "file of two maps"),
        ({"target": "scene.tif"}, "scene itself"),
        ({"probabilities": "folder/../scene.tif"}, "scene itself"),
        ({"source": "scene.vrt", "target": "scene.tif"}, "scene itself"),
        ({"on_bad_block": "ignore"}, "on_bad_block"),
        ({"overlap": 400}, "overlap must be 0 to 256"),
        ({"resolution": "fine"}, "resolution must be"),
        ({"protocol": "unpublished"}, "protocol"),
        ({"source": "four.tif"}, "4 bands"),
    ],
)
def test_mistakes_are_one_line_before_any_work(tmp_path, options, words):
    write_raster(tmp_path / "scene.tif", picture(64, 64, 3))
    write_raster(tmp_path / "four.tif", picture(64, 64, 4), photometric="minisblack")
    (tmp_path / "folder").mkdir()
    rasterio.shutil.copy(tmp_path / "scene.tif", tmp_path / "scene.vrt", driver="VRT")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    options = {"source": "scene.tif", "target": "map.tif", **options}
    for name in {"source", "target", "confidence", "probabilities"} & set(options):
        options[name] = tmp_path / options[name]
    with pytest.raises(ValueError, match=words) as error:
        kd.predict_raster(failing_predictor(), **options)
    assert "\n" not in str(error.value)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_model_without_metadata(tmp_path):
    write_raster(tmp_path / "scene.tif", picture(64, 64, 3))
    predictor = Predictor(Network("bare", None, 3, 3, True), "keras", "float32", lambda size: None)
    with pytest.raises(ValueError, match="no metadata"):
        predict(tmp_path / "scene.tif", tmp_path, predictor=predictor)


def test_a_mosaic_with_a_gap(tmp_path):
    image, known = picture(100, 300, 3), np.zeros((100, 300), bool)
    paths = []
    for index, (left, right) in enumerate(((0, 120), (100, 170), (210, 300))):
        transform = from_origin(300_000 + left / 2, 2_800_000, 0.5, 0.5)
        write_raster(tmp_path / f"{index}.tif", image[:, left:right], transform=transform)
        known[:, left:right] = True
        paths.append(tmp_path / f"{index}.tif")
    labels, written, _ = predict(paths[::-1], tmp_path)
    np.testing.assert_array_equal(labels, toy_labels(image, known))
    assert written.transform == PLACE["transform"]


@pytest.mark.parametrize("resolution", ["native", 1.0])
def test_a_damaged_block(tmp_path, resolution):
    image = np.random.default_rng(1).integers(1, 9, (384, 384, 3)).astype("uint8")
    tiles = {"tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "deflate"}
    write_raster(tmp_path / "scene.tif", image, interleave="pixel", **tiles)
    damage_block(tmp_path / "scene.tif", 1, 1)
    options = {"resolution": resolution}
    with pytest.raises(ValueError, match=r"scene\.tif: .* at row \d+, column \d+"):
        predict(tmp_path / "scene.tif", tmp_path, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["scene.tif"]
    labels, _, result = predict(tmp_path / "scene.tif", tmp_path, on_bad_block="nodata", **options)
    assert (labels[128:256, 128:256] == 255).all()
    assert result["bad_pixels"] == (labels == 255).sum() == 128**2
    if resolution == "native":
        np.testing.assert_array_equal(labels, toy_labels(image, labels != 255))


def test_views_are_averaged(tmp_path):
    """Flipped views of a per-pixel model change nothing but the way."""
    image = picture(80, 120, 3)
    write_raster(tmp_path / "scene.tif", image)
    shown = []
    predictor = toy_predictor(lambda images: shown.append(1) or images / 50)
    options = {"predictor": predictor, "protocol": Protocol(flip=True), "window": 128}
    labels, _, _ = predict(
        tmp_path / "scene.tif", tmp_path, confidence=tmp_path / "c.tif", **options
    )
    np.testing.assert_array_equal(labels, toy_labels(image))
    assert len(shown) == 2
    with rasterio.open(tmp_path / "c.tif") as written:
        flipped = written.read(1)
    predict(
        tmp_path / "scene.tif",
        tmp_path,
        confidence=tmp_path / "c.tif",
        window=128,
        predictor=predictor,
    )
    with rasterio.open(tmp_path / "c.tif") as written:
        assert np.abs(written.read(1).astype(int) - flipped).max() <= 1


def test_progress_in_short_numbers(tmp_path, monkeypatch):
    image = picture(530, 700, 3)
    write_raster(tmp_path / "scene.tif", image)
    said = io.StringIO()
    monkeypatch.setattr("sys.stderr", said)
    kd.predict_raster(
        toy_predictor(), tmp_path / "scene.tif", tmp_path / "map.tif", resolution="native"
    )
    shown = said.getvalue().replace("\r", "\n").split("\n")
    assert "0.00/371k [00:00<?, ?px/s]" in shown[1]
