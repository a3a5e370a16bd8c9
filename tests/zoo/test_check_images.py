"""Reading the images on which runtimes are compared."""

import numpy as np
import pytest
from PIL import Image
from rasters import write_raster
from reference import golden

from keras_deeplab.zoo.check_images import read_check_image

IMAGE = golden.make_image_u8("check", 24, 40)


@pytest.mark.parametrize(
    "image",
    [IMAGE, np.dstack([IMAGE, IMAGE[..., :2]]) / np.float32(3), IMAGE[..., 0].astype(np.int16)],
)
def test_all_bands_are_read_as_stored(tmp_path, image):
    write_raster(tmp_path / "image.tif", image)
    found = read_check_image(tmp_path / "image.tif")
    assert found.dtype == image.dtype
    np.testing.assert_array_equal(found, np.atleast_3d(image))


def test_a_jpeg_is_read(tmp_path):
    path = tmp_path / "image.jpg"
    Image.fromarray(np.broadcast_to(IMAGE[..., :1], IMAGE.shape)).save(path, quality=95)
    with Image.open(path) as picture:
        expected = np.asarray(picture).astype(int)
    found = read_check_image(path)
    assert found.shape == IMAGE.shape and found.dtype == np.uint8
    assert abs(found - expected).max() <= 1  # decoders round differently


def test_an_unreadable_file_is_named(tmp_path):
    path = tmp_path / "image.tif"
    with pytest.raises(ValueError, match=f"{path}: cannot be read as a raster"):
        read_check_image(path)
    write_raster(path, IMAGE)
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(ValueError, match=f"{path}: cannot be read as a raster"):
        read_check_image(path)
