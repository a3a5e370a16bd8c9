"""Calibration crops: which parts of which files, and what does not fit the model."""

import types

import numpy as np
import pytest
from PIL import Image
from rasters import write_raster

from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.runtimes.calibration import (
    crops_of_check_image,
    crops_of_folder,
    find_calibration,
)
from keras_deeplab.runtimes.predictor import Network
from keras_deeplab.zoo.metadata import ModelMetadata

RNG = np.random.default_rng(0)
CLASSES = ClassTable(("roof", "pool"))


def network(channels=3, *, normalises=True, **metadata):
    known = ModelMetadata("r18_d16", CLASSES, **metadata)
    return Network("net", known, channels=channels, classes=2, normalises=normalises)


def noise(height, width, channels=3):
    return RNG.integers(0, 256, (height, width, channels), "uint8")


def save(path, image):
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.fromarray(image).save(path)


def test_crops_are_the_tiles_of_the_files(tmp_path):
    image, small = noise(70, 64), noise(20, 40)
    save(tmp_path / "a.png", image)
    save(tmp_path / "sub/b.png", small)
    crops = crops_of_folder(tmp_path, network(), 32)
    starts = [(row, column) for row in (0, 32, 38) for column in (0, 32)]
    tiles = [image[row : row + 32, column : column + 32] for row, column in starts]
    below = np.concatenate([small, small[:7:-1]])  # mirrored at its border
    np.testing.assert_array_equal(crops, [*tiles, below[:, :32], below[:, 8:]])
    assert crops.dtype == np.uint8


def test_at_most_64_crops_of_all_images(tmp_path):
    for value in range(10):
        save(tmp_path / f"{value}.png", np.full((96, 96, 3), value, "uint8"))
    crops = crops_of_folder(tmp_path, network(), 32)
    assert len(crops) == 64
    counts = np.bincount(crops[:, 0, 0, 0], minlength=10)
    assert counts.min() >= 6 and counts.max() <= 7  # of the 9 of each image


def test_bands_and_value_range_are_those_of_the_model(tmp_path):
    stored = RNG.integers(0, 4001, (40, 40, 5)).astype("uint16")
    write_raster(tmp_path / "scene.tif", stored)
    of_model = network(2, bands=(4, 1), value_range=(0, 2000))
    crops = crops_of_folder(tmp_path, of_model, 40)
    expected = np.minimum(stored[..., [3, 0]] * (255 / 2000), 255)
    np.testing.assert_allclose(crops[0], expected, rtol=1e-5)
    given = ImageFormat(bands=(2, 3), value_range=(0, 4000))
    crops = crops_of_folder(tmp_path, of_model, 40, given)
    np.testing.assert_allclose(crops[0], stored[..., 1:3] * (255 / 4000), rtol=1e-5)


def test_several_folders(tmp_path):
    """Their files may have the same names, as tiles of a dataset do."""
    images = [noise(32, 32), noise(32, 32)]
    folders = [tmp_path / "tile 1", tmp_path / "tile 2"]
    for folder, image in zip(folders, images, strict=True):
        save(folder / "part_1.png", image)
    np.testing.assert_array_equal(crops_of_folder(folders, network(), 32), images)
    source = types.SimpleNamespace(network=network())
    assert find_calibration(source, folders, 32).images == f"{folders[0]}, {folders[1]}"


@pytest.mark.parametrize("filled", [10, 40, 200])
def test_crops_are_chosen_among_places_with_data(tmp_path, filled):
    """A mosaic of 20 x 20 tiles, most of them empty: those with data are found all the same."""
    tiles = np.zeros((400, 16, 16, 3), "uint8")
    chosen = RNG.permutation(400)[:filled]
    tiles[chosen] = RNG.integers(1, 256, (filled, 1, 1, 3))
    mosaic = tiles.reshape(20, 20, 16, 16, 3).swapaxes(1, 2).reshape(320, 320, 3)
    write_raster(tmp_path / "scene.tif", mosaic, nodata=0)
    crops = crops_of_folder(tmp_path, network(), 16)
    assert len(crops) == min(filled, 64) and crops.reshape(len(crops), -1).any(1).all()
    if filled <= 64:
        np.testing.assert_array_equal(crops, tiles[np.sort(chosen)])
        return
    quarters = [
        sum((crop == tiles[part]).all((1, 2, 3)).any() for crop in crops)
        for part in np.array_split(np.arange(400), 4)
    ]
    assert min(quarters) >= 8  # from all parts of the mosaic


def test_crops_without_data_are_left_out(tmp_path):
    image = noise(32, 96)
    image[:, :32] = 0
    image[:, 32:44] = 0
    write_raster(tmp_path / "scene.tif", image, nodata=0)
    crops = crops_of_folder(tmp_path, network(), 32)
    np.testing.assert_array_equal(crops, [image[:, 32:64], image[:, 64:]])
    write_raster(tmp_path / "scene.tif", np.zeros_like(image), nodata=0)
    with pytest.raises(ValueError, match=f"^{tmp_path}: the images have no data"):
        crops_of_folder(tmp_path, network(), 32)


@pytest.mark.parametrize(
    ("image", "of_model", "message"),
    [
        (noise(40, 40, 4).astype("uint8"), network(), "has 4 bands.*--bands"),
        (noise(40, 40)[..., 0], network(), "has 1 band"),
        (noise(40, 40), network(2, bands=(4, 1)), "has no band 4, only 1 "),
        (noise(40, 40).astype("uint16"), network(), "values 0 to 255.*--value-range LOW HIGH"),
        (noise(40, 40), network(value_range=(0, 3000)), "uint8.*must be within 0..255"),
    ],
)
def test_an_image_that_does_not_fit(tmp_path, monkeypatch, image, of_model, message):
    """One line that names the file, before pixels are read."""
    save(tmp_path / "a.png", noise(40, 40))
    if image.dtype == np.uint16:
        image[0, 0], image[0, 1] = 0, 255
    write_raster(tmp_path / "b.tif", image, photometric="MINISBLACK")
    if of_model.metadata.bands or of_model.metadata.value_range:
        (tmp_path / "a.png").unlink()
    monkeypatch.setattr(ImageFormat, "read", None)
    with pytest.raises(ValueError, match=f"^{tmp_path / 'b.tif'} .*{message}") as caught:
        crops_of_folder(tmp_path, of_model, 32)
    assert "\n" not in str(caught.value)


def test_models_that_files_do_not_fit(tmp_path):
    save(tmp_path / "a.png", noise(40, 40))
    with pytest.raises(ValueError, match="net takes normalised images"):
        crops_of_folder(tmp_path, network(normalises=False), 32)
    with pytest.raises(ValueError, match="net takes 4 channels, but 3 bands"):
        crops_of_folder(tmp_path, network(4), 32)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="contains no image"):
        crops_of_folder(tmp_path / "empty", network(), 32)


def test_crops_of_a_check_image(tmp_path):
    image = noise(40, 50, 4)
    write_raster(tmp_path / "check_image.tif", image)
    crops = crops_of_check_image(tmp_path / "check_image.tif", network(4), 32)
    expected = [image[y : y + 32, x : x + 32] for y in (0, 8) for x in (0, 18)]
    np.testing.assert_array_equal(crops, expected)
    with pytest.raises(ValueError, match=r"check_image\.tif has 4 channels, but net takes 3"):
        crops_of_check_image(tmp_path / "check_image.tif", network(), 32)
