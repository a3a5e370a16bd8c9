"""Draws docs/images/augmentation.jpg: one example, and samples of each augmentation.

Run: python docs/augmentation_picture.py
"""

import pathlib

import numpy as np
from PIL import Image

from keras_deeplab.data import augment, from_folder, read_class_table
from keras_deeplab.data.drawing import blend

ROOT = pathlib.Path(__file__).parents[1]
DUBAI = ROOT / "examples/dubai"
SIDE, SAMPLES = 160, 5


def shrunk(pixels):
    """The nearest pixels at the size of a cell."""
    rows, columns = (np.arange(SIDE) * side // SIDE for side in pixels.shape[:2])
    return pixels[rows][:, columns]


def cell(image, label, table):
    """The image, and below it its classes over it; ignored pixels show the image alone."""
    image, label = shrunk(np.asarray(image)), shrunk(np.asarray(label))
    return np.concatenate([image, blend(image, label, table)])


def main():
    """A row of samples for each augmentation, and the picture they come from at the left."""
    table = read_class_table(DUBAI / "classes.json")
    image, label = next(iter(from_folder(DUBAI / "images", DUBAI / "masks", table)))
    rows = []
    for augmentation in ("published", "strong", "sensor"):
        samples = [
            augment(image, label, [2, seed], crop=256, rotate=False, augmentation=augmentation)
            for seed in range(SAMPLES)
        ]
        cells = [cell(*sample, table) for sample in [(image, label), *samples]]
        rows.append(np.concatenate(cells, axis=1))
    picture = Image.fromarray(np.concatenate(rows))
    picture.save(ROOT / "docs/images/augmentation.jpg", quality=82)


if __name__ == "__main__":
    main()
