import numpy as np
import pytest

from keras_deeplab.evaluation.bootstrap import Bootstrap, paired_difference
from keras_deeplab.evaluation.metrics import SegmentationMetrics


def random_images(rng, count, classes=3):
    """Confusion matrices of images of different size and difficulty."""
    right = rng.beta(6, 2, count)
    chances = (1 - right)[:, None, None] / classes + right[:, None, None] * np.eye(classes)
    sizes = rng.integers(20, 60, (count, classes))
    return rng.multinomial(sizes, chances)


def bootstrap_of(images, **settings):
    bootstrap = Bootstrap(len(images[0]), **settings)
    for index, confusion in enumerate(images):
        bootstrap.update(index, confusion)
    return bootstrap


def test_as_drawing_images_with_replacement():
    rng = np.random.default_rng(1)
    images = random_images(rng, 60)
    drawn = []
    for _ in range(4000):
        total = sum(images[rng.integers(0, 60)] for _ in range(60))
        drawn.append(np.trace(total) / total.sum())
    expected = np.quantile(drawn, [0.025, 0.975])
    interval = bootstrap_of(images, replicates=4000).intervals()["aAcc"]
    np.testing.assert_allclose(interval, expected, atol=0.05 * np.diff(expected)[0])


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(2)
    everything = random_images(rng, 200_000).sum(axis=0)
    truth = np.trace(everything) / everything.sum()
    hits = 0
    for _ in range(150):
        low, high = bootstrap_of(random_images(rng, 50), replicates=200).intervals(0.8)["aAcc"]
        hits += low <= truth <= high
    assert 0.7 < hits / 150 < 0.88  # 3 standard deviations; intervals of few images are narrow


def test_weights_are_poisson_and_of_the_index_alone():
    images = np.ones((500, 1, 1), np.int64)
    bootstrap = bootstrap_of(images, replicates=2000)
    totals = bootstrap.areas[:, 0, 0]
    assert totals.dtype == np.int64 and bootstrap.images == 500
    assert totals.mean() == pytest.approx(500, abs=3)  # Poisson(500): 500 +- 22 / sqrt(2000)
    assert totals.var() == pytest.approx(500, rel=0.13)
    single = [Bootstrap(1, replicates=2000, seed=seed) for seed in (0, 0, 1)]
    for other, index in zip(single, (0, 1, 0), strict=True):
        other.update(index, [[1]])
    weights = [other.areas[:, 0, 0] for other in single]
    assert np.mean(weights[0] == 0) == pytest.approx(np.exp(-1), abs=0.04)
    for other in weights[1:]:
        assert abs(np.corrcoef(weights[0], other)[0, 1]) < 0.1


def test_order_and_sharing_change_nothing():
    images = random_images(np.random.default_rng(3), 12)
    whole = bootstrap_of(images)
    workers = Bootstrap(3), Bootstrap(3)
    for index in reversed(range(12)):
        workers[index % 2].update(index, images[index])
    workers[0].merge(workers[1])
    np.testing.assert_array_equal(workers[0].areas, whole.areas)
    assert workers[0].intervals() == whole.intervals() and workers[0].images == 12


def test_replicates_have_the_scores_of_segmentation_metrics():
    images = random_images(np.random.default_rng(4), 5)
    bootstrap = bootstrap_of(images, replicates=50)
    weights = []
    for index in range(5):
        counter = Bootstrap(1, replicates=50)
        counter.update(index, [[1]])
        weights.append(counter.areas[:, 0, 0])
    results = []
    for confusion in np.einsum("ir,ijk->rjk", weights, images):
        metrics = SegmentationMetrics(3)
        metrics.confusion = confusion
        results.append(metrics.result())
    intervals = bootstrap.intervals(0.5)
    for name in ("aAcc", "mIoU", "mAcc", "mDice", "mFscore", "fwIoU"):
        values = [result[name] for result in results]
        np.testing.assert_allclose(intervals[name], np.nanpercentile(values, [25, 75]))
    for index, interval in enumerate(intervals["IoU"]):
        values = [result["per_class"]["IoU"][index] for result in results]
        np.testing.assert_allclose(interval, np.nanpercentile(values, [25, 75]))


def test_what_is_undefined_is_nan():
    """Class 1 is in one image only, class 2 in none."""
    bootstrap = Bootstrap(3, replicates=100)
    bootstrap.update(0, np.diag([5, 5, 0]))
    assert np.isnan(bootstrap.intervals()["aAcc"]).all()
    bootstrap.update(1, np.diag([5, 0, 0]))
    intervals = bootstrap.intervals()
    assert intervals["IoU"][:2] == [(1, 1), (1, 1)] and np.isnan(intervals["IoU"][2]).all()
    assert intervals["mIoU"] == (1, 1)
    assert np.isnan(paired_difference(bootstrap, bootstrap)["IoU"][2]["share_positive"])


def test_paired_difference():
    """Two models on the same images: the difference varies less than the models."""
    rng = np.random.default_rng(5)
    images = random_images(rng, 40)
    better = images.copy()
    better[:, 0, 0] += images[:, 0, 1]  # of class 0 nothing is taken for class 1 any more
    better[:, 0, 1] = 0
    first, second = bootstrap_of(images), bootstrap_of(better)
    same = paired_difference(first, first)
    for entry in (same["mIoU"], *same["IoU"]):
        assert entry == {"low": 0, "high": 0, "share_positive": 0}
    difference = paired_difference(first, second)
    assert difference["mIoU"]["low"] > 0 and difference["mIoU"]["share_positive"] == 1
    assert difference["IoU"][2] == {"low": 0, "high": 0, "share_positive": 0}
    assert paired_difference(second, first)["IoU"][0] == {
        "low": pytest.approx(-difference["IoU"][0]["high"]),
        "high": pytest.approx(-difference["IoU"][0]["low"]),
        "share_positive": 0,
    }
    low, high = first.intervals()["mIoU"]
    assert difference["mIoU"]["high"] - difference["mIoU"]["low"] < (high - low) / 2


def test_what_does_not_fit_is_named():
    images = random_images(np.random.default_rng(6), 3)
    bootstrap = bootstrap_of(images)
    with pytest.raises(ValueError, match="seed is 0 in one and 1 in the other"):
        bootstrap.merge(Bootstrap(3, seed=1))
    with pytest.raises(ValueError, match="replicates is 1000 in one and 10"):
        paired_difference(bootstrap, bootstrap_of(images, replicates=10))
    with pytest.raises(ValueError, match="3 and 2 images counted differ"):
        paired_difference(bootstrap, bootstrap_of(images[:2]))
    with pytest.raises(ValueError, match="3 and 3 images counted differ"):
        paired_difference(bootstrap, bootstrap_of(images[::-1]))
    with pytest.raises(ValueError, match=r"Expected a confusion matrix \(3, 3\), got \(2, 2\)"):
        bootstrap.update(3, np.eye(2, dtype=int))
    with pytest.raises(ValueError, match="index must be"):
        bootstrap.update(-1, images[0])
    with pytest.raises(ValueError, match="replicates must be an integer >= 1"):
        Bootstrap(3, replicates=0)
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        bootstrap.intervals(95)


def test_memory_grows_with_the_classes_not_their_square():
    assert Bootstrap(255).areas.nbytes < 10e6
