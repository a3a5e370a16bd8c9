"""Draws docs/images/augmentation.jpg: one example, published samples, strong samples.

Run: python docs/augmentation_picture.py
"""

import pathlib

import numpy as np
from PIL import Image

from keras_deeplab.data import augment, read_class_table
from keras_deeplab.data.folder import read_image, read_mask

ROOT = pathlib.Path(__file__).parents[1]
DUBAI = ROOT / "examples/dubai"
SIDE, SAMPLES, NAME = 160, 5, "tile1_part008"


def shrunk(pixels):
    """The nearest pixels at the size of a cell."""
    rows, columns = (np.arange(SIDE) * side // SIDE for side in pixels.shape[:2])
    return pixels[rows][:, columns]


def cell(image, label, palette):
    """The image, its classes half over it below; ignored pixels are black there."""
    colors = np.append(palette, np.zeros((256 - len(palette), 3)), axis=0)[label]
    blended = np.where(label[..., np.newaxis] == 255, 0, (image * 0.5 + colors * 0.5))
    return np.concatenate([image, blended.astype(np.uint8)])


def main():
    """Two rows of samples, and the picture they come from at the left of both."""
    table = read_class_table(DUBAI / "classes.json")
    image = read_image(DUBAI / f"images/{NAME}.jpg")
    label = read_mask(DUBAI / f"masks/{NAME}.png", table)
    whole = [shrunk(image), shrunk(label)]
    rows = []
    for augmentation in ("published", "strong"):
        samples = [
            augment(image, label, [2, seed], crop=256, rotate=False, augmentation=augmentation)
            for seed in range(SAMPLES)
        ]
        samples = [whole, *([shrunk(part.numpy()) for part in sample] for sample in samples)]
        rows.append(np.concatenate([cell(*sample, table.palette) for sample in samples], axis=1))
    picture = Image.fromarray(np.concatenate(rows))
    picture.save(ROOT / "docs/images/augmentation.jpg", quality=82)


if __name__ == "__main__":
    main()
