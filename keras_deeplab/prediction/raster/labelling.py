"""Classes of a scene, part by part: scores, and where the scene has data."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.prediction.protocols import Protocol
from keras_deeplab.prediction.raster.bands import Band
from keras_deeplab.prediction.raster.scene import Scene
from keras_deeplab.prediction.raster.scores import Plan, scene_scores
from keras_deeplab.prediction.views import image_probabilities, softmax
from keras_deeplab.runtimes.predictor import Predictor

CHUNK = 64  # rows of a map that are finished at a time

Part = tuple[int, int, np.ndarray, np.ndarray]


def labelled_parts(
    scene: Scene,
    predictor: Predictor,
    views: Protocol,
    plan: Plan,
    bands: tuple[Band, Band],
    probabilities: bool,
) -> Generator[Part, None, None]:
    """Predicts bands that follow each other.

    Args:
        scene: `Scene`.
        predictor: `Predictor`.
        views: Scales and flip of each window.
        plan: `Plan` of the scene.
        bands: The first band and the last one.
        probabilities: Whether the scores have to be probabilities.

    Yields:
        First row, first column, class indices (255 without data) and scores of a part of a band.
    """
    plain = views.scales == (1.0,) and not views.flip
    first, last = bands

    def predict(image: np.ndarray) -> np.ndarray:
        if plain:
            return predictor(image[np.newaxis])[0]
        return image_probabilities(predictor, image, views)[-1]

    found = scene_scores(
        *(scene, predict, plan, (first.left, first.right)),
        rows=(first.top, last.bottom),
        last_window=last.last_window,
    )
    for start, scores in found:
        for row in range(0, len(scores), CHUNK):
            part = scores[row : row + CHUNK]
            top = start + row
            valid = scene.valid(top, first.left, part.shape[:2])
            labels = part.argmax(-1).astype(np.uint8)
            labels[~valid] = IGNORE_INDEX
            yield top, first.left, labels, softmax(part) if plain and probabilities else part
