import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_deeplab.evaluation.boundary import BoundaryMetrics


def random_maps(seed, num_classes):
    """Labels with ignored pixels and predictions, in patches, of any small size."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 16, 2)

    def patches():
        coarse = rng.integers(0, num_classes, (6, 6))
        return np.kron(coarse, np.ones((3, 3), int))[:height, :width]

    labels, predictions = patches(), patches()
    mix = rng.random(labels.shape) < 0.6
    predictions[mix] = labels[mix]
    labels[rng.random(labels.shape) < rng.choice([0, 0.15, 0.6])] = 255
    return labels, predictions


def others(classes, valid, place, near):
    """Whether a valid pixel of another class is so near; pixel by pixel."""
    return any(
        valid[pixel] and classes[pixel] != classes[place] and near(pixel, place)
        for pixel in np.ndindex(classes.shape)
    )


def pixels_with(classes, valid, near):
    """Valid pixels that have another class near, by class."""
    sets = {}
    for place in np.ndindex(classes.shape):
        if valid[place] and others(classes, valid, place, near):
            sets.setdefault(int(classes[place]), set()).add(place)
    return sets


def naive(labels, predictions, num_classes, distance, tolerance):
    """Boundary IoU, and contour pixels (labelled, met, predicted, met), of each class as sets."""
    valid = labels != 255

    def both(near):
        maps = [pixels_with(classes, valid, near) for classes in (labels, predictions)]
        return [[found.get(index, set()) for index in range(num_classes)] for found in maps]

    def chebyshev(a, b):
        return max(abs(a[0] - b[0]), abs(a[1] - b[1])) <= distance

    def neighbours(a, b):
        return abs(a[0] - b[0]) + abs(a[1] - b[1]) == 1

    def met(points, targets):
        return sum(any(math.dist(a, b) <= tolerance for b in targets) for a in points)

    iou = [
        len(one & other) / len(one | other) if one | other else np.nan
        for one, other in zip(*both(chebyshev), strict=True)
    ]
    contours = [
        (len(one), met(one, other), len(other), met(other, one))
        for one, other in zip(*both(neighbours), strict=True)
    ]
    return iou, contours


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 4, 11]),  # 11: more than fit the bits of a byte
    st.integers(1, 5),
    st.integers(1, 5),
)
def test_against_sets_of_pixels(seed, num_classes, distance, tolerance):
    labels, predictions = random_maps(seed, num_classes)
    diagonal = math.hypot(*labels.shape)
    metrics = BoundaryMetrics(
        num_classes, width=distance / diagonal, tolerance=tolerance / diagonal
    )
    metrics.update(labels.astype(np.uint8), predictions)
    iou, contours = naive(labels, predictions, num_classes, distance, tolerance)
    result = metrics.result()
    np.testing.assert_allclose(result["per_class"]["BoundaryIoU"], iou)
    (labelled, labelled_met), (predicted, predicted_met) = metrics.contours.tolist()
    found = zip(labelled, labelled_met, predicted, predicted_met, strict=True)
    assert list(found) == contours
    assert metrics.regions.sum() == (labels != 255).sum()
    defined = [value for value in iou if not np.isnan(value)]
    np.testing.assert_allclose(result["mBoundaryIoU"], np.mean(defined) if defined else np.nan)


def square(top, left, side=20, shape=(60, 80)):
    classes = np.zeros(shape, np.uint8)
    classes[top : top + side, left : left + side] = 1
    return classes


def test_a_shifted_square():
    """A square of side 20, predicted 3 pixels further right; the diagonal is 100."""
    metrics = BoundaryMetrics(2, width=0.02, tolerance=0.02)
    metrics.update(square(20, 30), square(20, 33))
    assert metrics.contours[:, 0].tolist() == [[80, 76]] * 2  # outside the square and inside
    # Both rings are 20^2 - 16^2 = 144 pixels. They share 17 columns of the two rows at the top and
    # at the bottom; the sides, 2 wide and 3 apart, share nothing.
    assert metrics.regions[1, 1] == 2 * 2 * 17
    result = metrics.result()
    assert result["per_class"]["BoundaryIoU"][1] == pytest.approx(68 / (2 * 144 - 68))
    # Of the 76 pixels of a contour these are further than 2 from the other: the side outside of
    # it, and the side inside it but for 3 pixels at each end, which are near its rows.
    outside, inside = 20, 20 - 2 * 3
    expected = (76 - outside - inside) / 76
    assert result["per_class"]["BoundaryPrecision"][1] == pytest.approx(expected)
    assert result["per_class"]["BoundaryRecall"][1] == pytest.approx(expected)
    assert result["per_class"]["BoundaryFscore"][1] == pytest.approx(expected)


def test_within_the_tolerance_and_not():
    for shift, score in ((2, 1), (3, 0)):
        labels, predictions = np.zeros((2, 40, 30), np.uint8)
        labels[:, 10:], predictions[:, 10 + shift :] = 1, 1
        metrics = BoundaryMetrics(2, tolerance=0.04)  # 2 pixels of a diagonal of 50
        metrics.update(labels, predictions)
        assert metrics.result()["per_class"]["BoundaryFscore"] == [score, score]
        assert metrics.result()["mBoundaryFscore"] == score


def test_image_narrower_than_the_distances():
    """4 by 700 pixels, either way up: distances of 14 and 5, a step predicted 5 pixels off."""
    labels, predictions = np.zeros((2, 4, 700), np.uint8)
    labels[:, 350:], predictions[:, 355:] = 1, 1
    for turned in (False, True):
        metrics = BoundaryMetrics(2)
        metrics.update(*((labels.T, predictions.T) if turned else (labels, predictions)))
        assert metrics.result()["per_class"]["BoundaryFscore"] == [1, 1]
        assert metrics.result()["per_class"]["BoundaryIoU"] == [9 / 19, 9 / 19]


def test_edge_and_ignored_pixels_are_no_boundary():
    labels = np.zeros((20, 20), np.uint8)
    metrics = BoundaryMetrics(2)
    metrics.update(labels, labels)
    labels[5:10] = 255
    predictions = labels.copy()
    predictions[5:10] = 1
    metrics.update(labels, predictions)
    assert metrics.regions.sum() == metrics.regions[2, 2] == 400 + 300
    assert not metrics.contours.any()
    result = metrics.result()
    assert np.isnan(result["mBoundaryIoU"]) and np.isnan(result["mBoundaryFscore"])


def test_a_class_without_boundary_in_one_of_both_has_0():
    metrics = BoundaryMetrics(3)
    metrics.update(square(20, 30), square(0, 0, side=0))
    result = metrics.result()
    np.testing.assert_array_equal(result["per_class"]["BoundaryIoU"], [0, 0, np.nan])
    np.testing.assert_array_equal(result["per_class"]["BoundaryFscore"], [0, 0, np.nan])
    np.testing.assert_array_equal(result["per_class"]["BoundaryPrecision"], [np.nan] * 3)
    assert result["mBoundaryIoU"] == result["mBoundaryFscore"] == 0


def test_shares_of_the_diagonal():
    """The defaults on a diagonal of 1000: 20 and 8 (7.5) pixels; on a small image 1."""
    labels = np.zeros((600, 800), np.uint8)
    labels[:, 400:] = 1
    metrics = BoundaryMetrics(2)
    metrics.update(labels, labels)
    assert np.diag(metrics.regions).tolist()[:2] == [600 * 20] * 2
    metrics.update(labels, np.roll(labels, 8, axis=1))
    assert metrics.contours[0, 1].tolist() == [1200, 1200]
    small = BoundaryMetrics(2)
    small.update(labels[:6, 396:404], labels[:6, 396:404])
    assert np.diag(small.regions).tolist()[:2] == [6, 6]


def test_merged_as_one():
    whole, first, second = (BoundaryMetrics(4) for _ in range(3))
    for seed, part in ((1, first), (2, second)):
        part.update(*random_maps(seed, 4))
        whole.update(*random_maps(seed, 4))
    first.merge(second)
    np.testing.assert_equal(first.result(), whole.result())
    np.testing.assert_array_equal(first.regions, whole.regions)
    first.regions += 10**12
    assert first.regions.sum() > 25 * 10**12 and first.contours.dtype == np.int64
    with pytest.raises(ValueError, match=r"width is 0\.02 in one and 0\.01 in the other"):
        first.merge(BoundaryMetrics(4, width=0.01))


def test_what_does_not_fit_is_named():
    metrics = BoundaryMetrics(2)
    with pytest.raises(ValueError, match=r"\[3\] in a label are outside 0\.\.1"):
        metrics.update(np.array([[0, 3, 255]]), np.zeros((1, 3), int))
    with pytest.raises(ValueError, match=r"\[-1\] in a prediction"):
        metrics.update(np.array([[0, 1, 255]]), np.array([[-1, 0, 99]]))
    with pytest.raises(ValueError, match="of one image"):
        metrics.update(np.zeros((2, 4, 4), int), np.zeros((2, 4, 4), int))
    with pytest.raises(ValueError, match="tolerance 0 must be above 0"):
        BoundaryMetrics(2, tolerance=0)
    assert not metrics.regions.any() and not metrics.contours.any()
