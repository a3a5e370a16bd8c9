"""JPEG images: Pillow's pixels, at any size."""

import numpy as np
import pytest
from PIL import Image
from rasterio.windows import Window

import keras_deeplab as kd
from keras_deeplab.data.files.images import ImageFormat

BANDS = {"L": (1,), "RGB": (1, 2, 3), "CMYK": (1, 2, 3)}


@pytest.fixture(params=BANDS)
def picture(tmp_path, request):
    """Path of a JPEG, its pixels as Pillow decodes them, and its format."""
    pixels = np.random.default_rng(0).integers(0, 256, (61, 83, 4), np.uint8)
    image = Image.fromarray(pixels, "CMYK") if request.param == "CMYK" else Image.fromarray(pixels)
    path = tmp_path / "a.jpg"
    image.convert(request.param).save(path, quality=80)
    with Image.open(path) as image:
        decoded = np.asarray(image if request.param == "L" else image.convert("RGB"))
    return path, np.atleast_3d(decoded), ImageFormat(BANDS[request.param])


@pytest.mark.filterwarnings("error")
def test_no_size_is_refused(picture, monkeypatch):
    """Pillow's limit is for servers; it stays as it is for the rest of the process."""
    path, pixels, form = picture
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(path)
    np.testing.assert_array_equal(form.read(path)[0], pixels)
    window = Window(7, 5, 70, 50)  # beyond the limit too
    np.testing.assert_array_equal(form.read(path, window)[0], pixels[5:55, 7:77])
    assert Image.MAX_IMAGE_PIXELS == 100


def test_windows_are_slices(picture):
    path, pixels, form = picture
    height, width = pixels.shape[:2]
    random = np.random.default_rng(1)
    for _ in range(200):
        row, column = (int(random.integers(length)) for length in (height, width))
        rows, columns = int(random.integers(1, height - row + 1)), int(random.integers(1, 9))
        columns = min(columns, width - column)
        found, _ = form.read(path, Window(column, row, columns, rows))
        np.testing.assert_array_equal(found, pixels[row : row + rows, column : column + columns])


def test_a_dataset_of_pictures_beyond_the_limit(tmp_path, monkeypatch):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (50, 40), (90, 120, 80)).save(tmp_path / "images/a.jpg")
    Image.new("L", (50, 40), 1).save(tmp_path / "masks/a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    dataset = kd.data.from_folder(tmp_path / "images", tmp_path / "masks", list("ab"))
    ((image, label),) = dataset.as_numpy_iterator()
    assert image.shape == (40, 50, 3) and (label == 1).all()
