"""What predicting a whole image holds in memory."""

import tracemalloc

import numpy as np
from toy import toy_labels, toy_predictor

from keras_deeplab.prediction.protocols import Protocol
from keras_deeplab.prediction.views import image_labels


def test_windows_do_not_hold_the_scores_of_the_image():
    """24 bytes of scores for a pixel; the mask needs one, and rows of windows are left behind."""
    image = np.random.default_rng(0).integers(0, 255, (6_000, 256, 3)).astype("uint8")
    names = tuple("abcdef")
    predictor = toy_predictor(lambda images: np.tile(images, 2), names=names, classes=6)
    tracemalloc.start()
    try:
        labels = image_labels(predictor, image, Protocol(window=256))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(labels, toy_labels(image))
    assert peak < 8 * labels.size
