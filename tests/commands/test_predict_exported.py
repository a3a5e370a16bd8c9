"""`predict --model FILE` of files that take images of one size."""

import numpy as np
import pytest
import rasterio
from in_process import run
from PIL import Image
from rasters import write_raster
from runtimes.runtime_cases import write_run
from tiny import tiny_networks

import keras_deeplab as kd

TILE = 64
FILES = ("model.onnx", "model.xml")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run, and its files of one size."""
    folder = tmp_path_factory.mktemp("exported")
    write_run(folder / "run")
    with tiny_networks():
        for file in FILES:
            kd.export(folder / "run", folder / file, tile=TILE)
    return folder


@pytest.fixture(autouse=True)
def auto(monkeypatch):
    monkeypatch.delenv("KERAS_DEEPLAB_RUNTIME")


def picture(*size):
    return np.random.default_rng(0).integers(1, 255, (*size, 3), "uint8")


@pytest.fixture
def model(folder, tiny_networks):
    return kd.load(folder / "run")


@pytest.mark.parametrize("file", FILES)
def test_a_smaller_picture(folder, model, tmp_path, file):
    image = picture(40, 50)
    Image.fromarray(image).save(tmp_path / "image.png")
    run(
        *("predict", tmp_path / "image.png", "--model", folder / file),
        *("--mask", tmp_path / "mask.png"),
    )
    whole = np.pad(image, ((0, TILE - 40), (0, TILE - 50), (0, 0)), "symmetric")
    expected = kd.predict(model, whole).argmax(-1)[:40, :50]
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "mask.png")), expected)


@pytest.mark.parametrize("size", [(40, 50), (40, 100), (150, 100)])
@pytest.mark.parametrize("file", FILES)
def test_a_map_has_windows_of_the_file(folder, model, tmp_path, file, size):
    """Scenes that are smaller on one side or both are mirrored up to a window."""
    image, target, plain = picture(*size), tmp_path / "map.tif", tmp_path / "plain.tif"
    write_raster(tmp_path / "scene.tif", image)
    run("predict", tmp_path / "scene.tif", "--model", folder / file, "--output", target)
    with rasterio.open(target) as written:
        labels = written.read(1)
        assert written.tags()["KERAS_DEEPLAB_WINDOW"] == f"{TILE}, overlap {TILE // 2}"
    missing = [(0, max(TILE - side, 0)) for side in size]
    write_raster(tmp_path / "whole.tif", np.pad(image, [*missing, (0, 0)], "symmetric"))
    kd.predict_raster(model, tmp_path / "whole.tif", plain, window=TILE, overlap=TILE // 2)
    with rasterio.open(plain) as written:
        expected = written.read(1)[: size[0], : size[1]]
    assert labels.shape == size and (labels == expected).mean() > 0.999


def test_larger_images_need_windows(folder, tmp_path):
    Image.fromarray(picture(80, 70)).save(tmp_path / "image.png")
    arguments = ("predict", tmp_path / "image.png", "--model", folder / "model.onnx")
    result = run(*arguments, "--output", tmp_path / "o.png", check=False)
    assert result.exit_code == 1 and "--window 64" in result.output
    run(*arguments, "--output", tmp_path / "o.png", "--window", TILE)


def test_a_keras_model_of_one_size(tmp_path):
    """Its maps have windows of this size, too."""
    model = kd.build("r18_d16", 2, input_shape=(96, 96, 3))
    write_raster(tmp_path / "scene.tif", picture(100, 120))
    kd.predict_raster(model, tmp_path / "scene.tif", tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as written:
        assert written.tags()["KERAS_DEEPLAB_WINDOW"] == "96, overlap 48"
