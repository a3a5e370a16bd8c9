from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import REFERENCE, read

import keras_deeplab as kd
from keras_deeplab.evaluation.metrics import derive


def remove_zero_label(label):
    """The fixture's `reduce_zero_label_rule`."""
    label = label.astype(np.uint8)
    return np.where(label == 0, 255, np.where(label - 1 == 254, 255, label - 1))


@pytest.mark.parametrize("name", ["metric_potsdam_basic", "metric_potsdam_zero_label"])
def test_reference_metrics(name):
    case = read(f"metrics/{name}.json")
    arrays = np.load(REFERENCE / f"metrics/{name}.npz")
    metrics = kd.metrics.SegmentationMetrics(case["num_classes"])
    for key in arrays:
        if key.startswith("pred"):
            label = arrays[f"label_raw_{key.split('_')[-1]}"]
            metrics.update(
                remove_zero_label(label) if case["reduce_zero_label"] else label, arrays[key]
            )
    confusion = metrics.confusion
    assert confusion.dtype == np.int64
    assert np.diag(confusion).tolist() == case["areas"]["intersect"]
    assert confusion.sum(1).tolist() == case["areas"]["label"]
    assert confusion.sum(0).tolist() == case["areas"]["pred"]
    result = metrics.result()
    assert result["aAcc"] == pytest.approx(case["per_class"]["aAcc"], abs=1e-6)
    for key, expected in case["per_class"].items():
        if key != "aAcc":
            expected = [np.nan if value is None else value for value in expected]
            np.testing.assert_allclose(result["per_class"][key], expected, atol=1e-6)
    for key, percent in case["summary_percent_rounded_2"].items():
        assert round(100 * result[key], 2) == pytest.approx(percent, abs=0.006)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_against_sets_of_pixels(seed, num_classes):
    """IoU is intersection over union of sets, without a confusion matrix."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, (3, 5, 7))
    labels[rng.random(labels.shape) < 0.2] = 255
    predictions = rng.integers(0, max(num_classes - 1, 1), labels.shape)
    metrics = kd.metrics.SegmentationMetrics(num_classes)
    for label, prediction in zip(labels, predictions, strict=True):
        metrics.update(label, prediction)
    valid = labels != 255
    for index, iou in enumerate(metrics.result()["per_class"]["IoU"]):
        labelled, predicted = valid & (labels == index), valid & (predictions == index)
        union = (labelled | predicted).sum()
        expected = (labelled & predicted).sum() / union if union else np.nan
        np.testing.assert_allclose(iou, expected)


def test_bad_values_are_named():
    metrics = kd.metrics.SegmentationMetrics(2)
    with pytest.raises(ValueError, match=r"\[3, 7\] in a label are outside 0\.\.1"):
        metrics.update(np.array([[0, 3, 7, 255]]), np.zeros((1, 4), int))
    with pytest.raises(ValueError, match=r"\[2\] in a prediction"):
        metrics.update(np.zeros((1, 2), int), np.array([[0, 2]]))
    with pytest.raises(ValueError, match="differ"):
        metrics.update(np.zeros((2, 2), int), np.zeros((2, 3), int))
    assert metrics.confusion.sum() == 0 and metrics.ignored == 0


def test_nothing_counted_is_nan_without_a_warning():
    result = kd.metrics.SegmentationMetrics(2).result()
    assert np.isnan(result["mIoU"]) and np.isnan(result["aAcc"])
    assert np.isnan(result["fwIoU"]) and np.isnan(result["microIoU"])
    assert result["pixels"] == result["classes_present"] == 0


def fractions(confusion):
    """The scores in exact arithmetic, each class by itself; of classes that all occur."""
    classes = range(len(confusion))
    hits = [confusion[i][i] for i in classes]
    labelled = [sum(confusion[i]) for i in classes]
    predicted = [sum(row[i] for row in confusion) for i in classes]
    unions = [labelled[i] + predicted[i] - hits[i] for i in classes]
    iou = [Fraction(hits[i], unions[i]) for i in classes]
    return {
        "aAcc": Fraction(sum(hits), sum(labelled)),
        "mIoU": sum(iou) / len(iou),
        "mFscore": sum(Fraction(2 * hits[i], labelled[i] + predicted[i]) for i in classes)
        / len(iou),
        "fwIoU": sum(Fraction(labelled[i], sum(labelled)) * iou[i] for i in classes),
        "microIoU": Fraction(sum(hits), sum(unions)),
    }


def test_a_million_million_pixels_in_every_cell():
    confusion = [[10**12 + 7 * i - 3 * j for j in range(3)] for i in range(3)]
    confusion[1][1] *= 5
    metrics = kd.metrics.SegmentationMetrics(3)
    metrics.confusion += np.array(confusion)
    metrics.ignored = 10**12
    metrics.update(np.array([[2, 255]]), np.array([[0, 0]]))
    confusion[2][0] += 1
    result = metrics.result()
    assert result["pixels"] == sum(map(sum, confusion))
    assert result["ignored_pixels"] == 10**12 + 1
    assert result["per_class"]["labelled_pixels"] == [sum(row) for row in confusion]
    assert result["per_class"]["predicted_pixels"] == [
        sum(column) for column in zip(*confusion, strict=True)
    ]
    for name, exact in fractions(confusion).items():
        assert result[name] == pytest.approx(float(exact), rel=1e-12)


def test_classes_that_do_not_occur():
    """Class 2 is predicted only, 3 and 4 are labelled only, 5 neither."""
    metrics = kd.metrics.SegmentationMetrics(6)
    metrics.update(np.array([[0, 0, 0, 1, 1, 3, 4]]), np.array([[0, 0, 2, 1, 1, 1, 1]]))
    result = metrics.result()
    assert result["classes_present"] == 4
    assert result["per_class"]["labelled_pixels"] == [3, 2, 0, 1, 1, 0]
    assert result["per_class"]["predicted_pixels"] == [2, 4, 1, 0, 0, 0]
    np.testing.assert_allclose(result["per_class"]["IoU"], [2 / 3, 2 / 4, 0, 0, 0, np.nan])
    np.testing.assert_allclose(result["per_class"]["Fscore"][2:], [np.nan] * 4)
    assert result["fwIoU"] == pytest.approx(3 / 7 * 2 / 3 + 2 / 7 * 2 / 4)
    assert result["microIoU"] == pytest.approx(4 / 10)


def test_many_matrices_at_once_as_one_by_one():
    rng = np.random.default_rng(0)
    many = rng.integers(0, 2, (2, 20, 3, 3))  # zeros often enough for absent classes
    overall, per_class = derive(many)
    for place in np.ndindex(many.shape[:2]):
        alone = derive(many[place])
        for name, values in overall.items():
            np.testing.assert_array_equal(values[place], alone[0][name])
        for name, values in per_class.items():
            np.testing.assert_array_equal(values[place], alone[1][name])
    assert np.isnan(per_class["IoU"]).any()


def test_merged_as_one():
    rng = np.random.default_rng(0)
    labels, predictions = rng.choice([0, 1, 2, 255], (4, 6, 6)), rng.integers(0, 3, (4, 6, 6))
    whole, first, second = (kd.metrics.SegmentationMetrics(3) for _ in range(3))
    whole.update(labels, predictions)
    first.update(labels[:1], predictions[:1])
    second.update(labels[1:], predictions[1:])
    first.merge(second)
    assert first.result() == whole.result()
    assert first.result()["ignored_pixels"] == (labels == 255).sum()
    with pytest.raises(ValueError, match="ignore_index is 255 in one and 0 in the other"):
        first.merge(kd.metrics.SegmentationMetrics(3, ignore_index=0))
