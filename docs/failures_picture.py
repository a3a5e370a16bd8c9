"""The picture of failures in the card of efl0_banepa: the windows with the most wrong pixels.

In a checkout, with scene, map and outlines of the validation columns, see the card:
`python docs/failures_picture.py val.tif map.tif buildings.geojson failures.jpg`.
"""

import sys

import numpy as np
import rasterio
from PIL import Image

import keras_deeplab as kd

SIDE, ACROSS, DOWN = 256, 4, 2
GAP = 8
MISSED, WRONG = (255, 225, 0), (255, 30, 30)


def read(scene_path, map_path, labels_path):
    """Image, predicted class and labelled class of a scene."""
    with rasterio.open(scene_path) as scene, rasterio.open(map_path) as found:
        image, predicted = np.moveaxis(scene.read(), 0, -1), found.read(1)
    windows = kd.data.GridWindows(max(predicted.shape), overlap=0)
    arguments = {"class_field": "class", "classes": ["background", "building"]}
    ((_, label),) = kd.data.from_rasters(
        scene_path, labels=labels_path, windows=windows, **arguments
    ).as_numpy_iterator()
    height, width = predicted.shape
    return image, predicted, label[:height, :width]


def main():
    """Draws the windows, missed buildings in yellow, others that are not labelled in red."""
    image, predicted, label = read(*sys.argv[1:4])
    wrong = (predicted != label) & (label != 255) & (predicted != 255)
    picture = image.astype(float)
    for mask, color in ((wrong & (label == 1), MISSED), (wrong & (label == 0), WRONG)):
        picture[mask] = 0.45 * picture[mask] + 0.55 * np.array(color)
    rows, columns = (length // SIDE for length in wrong.shape)
    tiles = wrong[: rows * SIDE, : columns * SIDE].reshape(rows, SIDE, columns, SIDE)
    worst = np.argsort(-tiles.sum((1, 3)).ravel(), kind="stable")[: ACROSS * DOWN]
    size = (ACROSS * (SIDE + GAP) - GAP, DOWN * (SIDE + GAP) - GAP)
    sheet = Image.new("RGB", size, "white")
    for place, tile in enumerate(worst):
        top, left = SIDE * (tile // columns), SIDE * (tile % columns)
        part = picture[top : top + SIDE, left : left + SIDE].astype(np.uint8)
        sheet.paste(
            Image.fromarray(part),
            ((place % ACROSS) * (SIDE + GAP), (place // ACROSS) * (SIDE + GAP)),
        )
    sheet.save(sys.argv[4], quality=85)


if __name__ == "__main__":
    main()
