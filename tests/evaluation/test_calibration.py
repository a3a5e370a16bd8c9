import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_deeplab.evaluation.calibration import Calibration


def sample(rng, shape=(9, 11)):
    labels = rng.choice([0, 1, 2, 255], shape)
    return labels, rng.integers(0, 3, shape), rng.random(shape, np.float32)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_against_a_loop_over_pixels(seed, bins):
    labels, predictions, confidences = sample(np.random.default_rng(seed))
    members = [[] for _ in range(bins)]
    for place in np.ndindex(labels.shape):
        if labels[place] != 255:
            confidence = float(confidences[place])
            index = next(i for i in range(bins) if confidence <= (i + 1) / bins)
            members[index].append((confidence, bool(labels[place] == predictions[place])))
    calibration = Calibration(bins)
    calibration.update(labels, predictions, confidences)
    result = calibration.result()
    everything = [pixel for group in members for pixel in group]
    assert result["mean_confidence"] == pytest.approx(np.mean([c for c, _ in everything]))
    assert result["accuracy"] == pytest.approx(np.mean([right for _, right in everything]))
    error, gaps = 0, []
    for index, (found, group) in enumerate(zip(result["bins"], members, strict=True)):
        assert (found["low"], found["high"]) == (index / bins, (index + 1) / bins)
        assert found["pixels"] == len(group)
        if not group:
            assert found["confidence"] is None and found["accuracy"] is None
            continue
        confidence, accuracy = np.mean(group, axis=0)
        assert found["confidence"] == pytest.approx(confidence)
        assert found["accuracy"] == pytest.approx(accuracy)
        gaps.append(abs(confidence - accuracy))
        error += len(group) / len(everything) * gaps[-1]
    assert result["ECE"] == pytest.approx(error) and result["MCE"] == pytest.approx(max(gaps))


def test_a_calibrated_sample_has_no_error_and_a_sure_one_its_share_of_wrong_pixels():
    rng = np.random.default_rng(0)
    confidences = rng.uniform(0.3, 1, (500, 500)).astype(np.float32)
    wrong = rng.random(confidences.shape) >= confidences
    calibrated, sure = Calibration(), Calibration()
    calibrated.update(np.zeros(wrong.shape, int), wrong, confidences)
    sure.update(np.zeros(wrong.shape, int), wrong, np.ones_like(confidences))
    result = calibrated.result()
    assert result["ECE"] < 0.006  # 21,000 pixels in a bin: 0.003 by chance
    assert result["mean_confidence"] == pytest.approx(result["accuracy"], abs=0.004)
    assert sure.result()["ECE"] == sure.result()["MCE"] == pytest.approx(wrong.mean())


@pytest.mark.parametrize("bins", [1, 5, 10, 15])
def test_edges_belong_to_the_bin_below(bins):
    edges = np.linspace(0, 1, bins + 1)
    double = Calibration(bins)
    double.update(np.zeros((1, bins)), np.zeros((1, bins)), edges[np.newaxis, 1:])
    assert double.pixels.tolist() == [1] * bins
    edges = edges.astype(np.float32)
    calibration = Calibration(bins)
    calibration.update(np.zeros((1, bins)), np.zeros((1, bins)), edges[np.newaxis, 1:])
    assert calibration.pixels.tolist() == [1] * bins
    above = np.nextafter(edges[:-1], np.float32(1))
    calibration.update(np.zeros((1, bins)), np.ones((1, bins)), above[np.newaxis])
    assert calibration.pixels.tolist() == [2] * bins and calibration.right.tolist() == [1] * bins
    calibration.update([[0]], [[0]], [[0.0]])
    assert calibration.pixels[0] == 3


def test_merged_as_one():
    rng = np.random.default_rng(0)
    whole, first, second = Calibration(), Calibration(), Calibration()
    for target in (first, second):
        image = sample(rng)
        target.update(*image)
        whole.update(*image)
    first.pixels += 10**12
    whole.pixels += 10**12
    first.merge(second)
    assert first.pixels.tolist() == whole.pixels.tolist() and first.pixels.dtype == np.int64
    assert first.right.tolist() == whole.right.tolist()
    assert first.result()["ECE"] == pytest.approx(whole.result()["ECE"], rel=1e-12)
    with pytest.raises(ValueError, match="bins is 15 in one and 10 in the other"):
        first.merge(Calibration(10))


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.25, 1.5])
def test_a_confidence_that_is_no_probability_is_named(value):
    calibration = Calibration()
    confidences = np.array([[0.5, value]], np.float32)
    with pytest.raises(ValueError, match=f"A confidence is {value}:"):
        calibration.update(np.zeros((1, 2)), np.zeros((1, 2)), confidences)
    assert calibration.pixels.sum() == 0
    calibration.update(np.array([[0, 255]]), np.zeros((1, 2)), confidences)  # not counted
    assert calibration.pixels.sum() == 1


def test_nothing_counted_is_nan_without_a_warning():
    calibration = Calibration(3)
    calibration.update(np.full((2, 2), 255), np.zeros((2, 2)), np.zeros((2, 2)))
    result = calibration.result()
    assert all(np.isnan(result[name]) for name in ("ECE", "MCE", "mean_confidence", "accuracy"))
    assert [entry["accuracy"] for entry in result["bins"]] == [None] * 3
    with pytest.raises(ValueError, match="differ"):
        calibration.update(np.zeros((2, 2)), np.zeros((2, 2)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="bins must be"):
        Calibration(0)
