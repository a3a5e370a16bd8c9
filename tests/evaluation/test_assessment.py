"""One pass that measures everything: against each measure by itself, and in bounded memory."""

import json
import tracemalloc

import numpy as np
import pytest
from evaluation import labelled

import keras_deeplab as kd
from keras_deeplab.evaluation.assessment import Assessment, assess
from keras_deeplab.evaluation.image_scores import ImageScores
from keras_deeplab.evaluation.metrics import SegmentationMetrics
from keras_deeplab.prediction.protocols import Protocol
from keras_deeplab.runtimes.predictor import as_predictor

PROTOCOL = Protocol(flip=True)


@pytest.fixture(scope="module")
def model():
    return labelled.model()


@pytest.fixture(scope="module")
def assessment(model):
    return assess(
        as_predictor(model), labelled.pairs(), labelled.TABLE, PROTOCOL, names=list("abcdef")
    )


def test_counts_are_those_of_evaluate(model, assessment):
    metrics = kd.evaluate(model, labelled.pairs(), num_classes=3, flip=True)
    summary = assessment.summary()
    np.testing.assert_array_equal(summary["confusion"], metrics.confusion)
    result = metrics.result()
    for key in ("aAcc", "mIoU", "fwIoU", "pixels", "ignored_pixels", "classes_present"):
        assert summary[key] == result[key]
    pixels = [np.count_nonzero(label != 255) for _, label in labelled.pairs()]
    assert summary["pixels"] == sum(pixels)
    assert summary["ignored_pixels"] == sum(label.size for _, label in labelled.pairs()) - sum(
        pixels
    )
    assert summary["images"] == 6
    assert (summary["runtime"], summary["precision"]) == ("keras", "float32")
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_calibration_is_that_of_the_probabilities(model, assessment):
    right, confidence = [], []
    for image, label in labelled.pairs():
        probabilities = kd.predict(model, image, flip=True)
        valid = label != 255
        right.append((probabilities.argmax(-1) == label)[valid])
        confidence.append(probabilities.max(-1)[valid])
    calibration = assessment.summary()["calibration"]
    assert calibration["accuracy"] == pytest.approx(np.concatenate(right).mean())
    assert calibration["mean_confidence"] == pytest.approx(np.concatenate(confidence).mean())


def test_intervals_hold_the_estimate(assessment):
    summary = assessment.summary()
    for key in ("aAcc", "mIoU"):
        low, high = summary["intervals"][key]
        assert low <= summary[key] <= high


def test_a_row_for_each_image(model, assessment):
    rows = list(assessment.images.rows())
    assert rows == list(assessment.images.rows())  # they can be read again
    for row, name, (image, label) in zip(rows, "abcdef", labelled.pairs(), strict=True):
        alone = kd.evaluate(model, [(image, label)], num_classes=3, flip=True).result()
        assert (row["name"], row["mIoU"], row["aAcc"]) == (name, alone["mIoU"], alone["aAcc"])
        assert row["pixels"] + row["ignored_pixels"] == label.size
        assert row["worst_class"] == labelled.TABLE.names[np.nanargmin(alone["per_class"]["IoU"])]


def score(scores, index, right):
    """Adds an image of ten pixels of which so many are right; with `None`, one that is ignored."""
    label = np.full((1, 10), 255 if right is None else 0, np.uint8)
    classes = (np.arange(10) >= (right or 0)).astype(np.uint8)[np.newaxis]
    metrics = SegmentationMetrics(3)
    metrics.update(label, classes)
    scores.update(labelled.prediction(index, label, classes), classes, metrics)


@pytest.mark.parametrize(
    ("rights", "best", "worst"),
    [
        ([5, 1, 9, 3, 7, 8, 2], [2, 5, 4], [1, 6, 3]),
        ([5, 5, 5, 5, 5, 5, 5], [], [0, 1, 2]),
        ([4, 6, 2], [1], [2, 0]),
        ([4], [], [0]),
        ([None, 4, None], [], [1]),
        ([], [], []),
    ],
)
def test_the_best_and_the_worst(rights, best, worst):
    scores = ImageScores(labelled.TABLE.names)
    for index, right in enumerate(rights):
        score(scores, index, right)
    found = [[sample.row["index"] for sample in samples] for samples in scores.samples()]
    assert found == [best, worst]


def test_memory_does_not_grow_with_the_images():
    """A sample of all that is kept; rows go to the disk."""
    assessment = Assessment(labelled.TABLE, PROTOCOL, "keras", "float32")
    random = np.random.default_rng(0)
    label = random.integers(0, 3, (48, 48)).astype(np.uint8)

    def add(first, last):
        for index in range(first, last):
            assessment.update(labelled.prediction(index, label, random.integers(0, 3, label.shape)))

    add(0, 20)
    tracemalloc.start()
    add(20, 40)
    before = tracemalloc.take_snapshot()
    add(40, 240)
    after = tracemalloc.take_snapshot()
    tracemalloc.stop()
    grown = sum(entry.size_diff for entry in after.compare_to(before, "filename"))
    assert grown < 100_000  # the 200 label maps alone are 460 kB
    assert sum(1 for _ in assessment.images.rows()) == 240
