import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import REFERENCE, read

import keras_deeplab as kd


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
    assert metrics.confusion.sum() == 0


def test_nothing_counted_is_nan_without_a_warning():
    result = kd.metrics.SegmentationMetrics(2).result()
    assert np.isnan(result["mIoU"]) and np.isnan(result["aAcc"])
