"""Validation scenes on ground of the training."""

import logging

import numpy as np
import pytest
from rasterio import Affine
from rasters import write_raster

from keras_deeplab.data.files.polygon_labels import PolygonLabels
from keras_deeplab.data.source import DataSource

SIDE = 100  # pixels of half a metre


def source(folder, name, left, *, crs="EPSG:32645", area=None):
    """A scene that begins some metres from the others; its labels are not read."""
    path = folder / f"{name}.tif"
    transform = Affine(0.5, 0, 330_000 + left, 0, -0.5, 3_060_000)
    if crs == "EPSG:4326":  # 50 m near the same place
        transform = Affine(5e-6, 0, 85.2766 + left * 1e-5, 0, -5e-6, 27.6534)
    write_raster(path, np.ones((SIDE, SIDE, 3), np.uint8), crs=crs, transform=transform)
    return DataSource(
        images=(path,), labels=PolygonLabels(folder / "labels.gpkg", area=area and folder / area)
    )


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        ({"left": 40}, True),
        ({"left": 50}, False),  # the next scene
        ({"left": 49.8}, False),  # which overlaps by less than a pixel
        ({"left": 0, "crs": "EPSG:4326"}, True),
        ({"left": 900, "crs": "EPSG:4326"}, False),
        ({"left": 0, "area": "val"}, False),  # each has an area of its own
        ({"left": 0, "area": "train"}, True),
    ],
)
def test_overlaps_are_warned_of(tmp_path, options, warned, caplog):
    area = "train" if "area" in options else None
    training = source(tmp_path, "train", 0, area=area)
    with caplog.at_level(logging.WARNING):
        source(tmp_path, "val", **options).warn_of_shared_ground(training)
    assert caplog.text.count(str(tmp_path / "val.tif")) == warned
