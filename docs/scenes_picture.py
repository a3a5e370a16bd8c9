"""The picture of docs/scenes.md: a scene and its map.

In a checkout, after the first command of the page: `python docs/scenes_picture.py map.tif`.
"""

import pathlib
import sys

import numpy as np
import rasterio

import keras_deeplab as kd

ROOT = pathlib.Path(__file__).parents[1]


def main():
    """Draws scene, classes and legend."""
    with (
        rasterio.open(ROOT / "examples/banepa/scene.tif") as scene,
        rasterio.open(sys.argv[1]) as found,
    ):
        image, labels = np.moveaxis(scene.read(), 0, -1), found.read(1)
    classes = kd.data.read_class_table(ROOT / "examples/dubai/classes.json")
    picture = kd.overlay(image, labels, classes)
    picture.thumbnail((1100, 1100))
    picture.save(ROOT / "docs/images/scene.jpg", quality=85)


if __name__ == "__main__":
    main()
