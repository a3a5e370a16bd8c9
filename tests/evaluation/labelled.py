"""Small labelled images, and a network that is quick to predict them."""

import numpy as np
from tiny import tiny_model

from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.evaluation.predictions import Prediction

TABLE = ClassTable(("roof", "road", "pool"), ((200, 0, 0), (90, 90, 90), (0, 0, 250)))


def model(seed=0):
    return tiny_model(len(TABLE), seed=seed)


def pairs(count=6, seed=0):
    """`count` pairs of image and label in blocks, of different sizes, with ignored pixels."""
    random = np.random.default_rng(seed)
    made = []
    for index in range(count):
        height, width = 48 + 8 * (index % 3), 56
        cells = random.choice([*range(len(TABLE)), 255], (height // 8, width // 8))
        label = cells.repeat(8, 0).repeat(8, 1).astype(np.uint8)
        noise = random.integers(0, 60, (height, width, 3))
        image = 60 * np.minimum(label, len(TABLE))[..., np.newaxis] + noise
        made.append((image.astype(np.uint8), label))
    return made


def prediction(index, label, classes, probabilities=None):
    """A `Prediction` with the given class map."""
    if probabilities is None:
        probabilities = np.eye(len(TABLE), dtype=np.float32)[classes]
    image = np.zeros((*label.shape, 3), np.uint8)
    return Prediction(index, f"image {index}", image, label, [probabilities])
