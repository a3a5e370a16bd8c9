"""What headers of image files say: the same ground resolution as scenes are predicted at."""

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from keras_deeplab.data.files.ground import describe_ground
from keras_deeplab.data.files.images import ImageFormat


def write(path, epsg, transform):
    profile = {"driver": "GTiff", "width": 40, "height": 30, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", crs=f"EPSG:{epsg}", transform=transform, **profile) as raster:
        raster.write(np.zeros((3, 30, 40), np.uint8))
    return path


@pytest.mark.parametrize(
    ("epsg", "transform", "metres"),
    [
        (3857, from_origin(1_000_000, 8_399_737.9, 0.6, 0.6), 0.3),  # at 60 degrees north
        (4326, from_origin(10, 60, 1e-5, 1e-5), 0.788),
        (32640, from_origin(500_000, 2_800_000, 0.5, 0.5), 0.5),
    ],
)
def test_metres_are_those_on_the_ground(tmp_path, epsg, transform, metres):
    """Not the units of the coordinate reference system."""
    path = write(tmp_path / "a.tif", epsg, transform)
    found = describe_ground([path], ImageFormat()).resolution_m
    assert found == pytest.approx(metres, rel=4e-3) and found == float(f"{found:.3g}")


def test_images_of_different_resolutions_have_none(tmp_path):
    paths = [
        write(tmp_path / f"{side}.tif", 32640, from_origin(500_000, 2_800_000, side, side))
        for side in (0.5, 0.6)
    ]
    assert describe_ground(paths, ImageFormat()).resolution_m is None
