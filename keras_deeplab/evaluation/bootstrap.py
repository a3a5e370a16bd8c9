"""Confidence intervals of metrics over images, in one pass: the Poisson bootstrap."""

from typing import Any

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab.evaluation.metrics import areas, check_settings, scores

_SETTINGS = ("num_classes", "replicates", "seed")
_SCORES = ("aAcc", "mIoU", "mAcc", "mDice", "mFscore", "fwIoU")


class Bootstrap:
    """Bootstrap replicates of class areas, each from its own random sample of the images.

    Each replicate counts every image Poisson(1) times. For many images this approaches sampling
    with replacement, but needs neither their number nor a second pass over their matrices (Hanley
    and MacGibbon 2006, "Creating non-parametric bootstrap samples using Poisson frequencies";
    Chamandy et al. 2012, "Estimating uncertainty for massive data streams"). The weights of an
    image depend on seed and index only: neither the order of the images nor the number of workers
    changes the result, and two models are compared on the same samples.

    Images are assumed to be independent. Tiles of one scene are not: pass the index of the scene
    for all of its tiles to sample whole scenes.

    Args:
        num_classes: Number of classes.
        replicates: Number of replicates.
        seed: Seed of the weights, an integer >= 0.

    Attributes:
        areas: `(replicates, 3, num_classes)` int64 pixel counts, see `metrics.areas`.
        images: Number of images counted.

    Raises:
        ValueError: When `num_classes` or `replicates` is less than 1, or `seed` is negative.
    """

    def __init__(self, num_classes: int, *, replicates: int = 1000, seed: int = 0) -> None:
        for name, value, least in (
            ("num_classes", num_classes, 1),
            ("replicates", replicates, 1),
            ("seed", seed, 0),
        ):
            if value < least:
                raise InputError(f"{name} must be an integer >= {least}, got {value!r}.")
        self.num_classes = num_classes
        self.replicates = replicates
        self.seed = seed
        self.areas = np.zeros((replicates, 3, num_classes), np.int64)
        self.images = 0

    def update(self, index: int, confusion: np.ndarray) -> None:
        """Counts one image.

        Args:
            index: Position of the image in the dataset, an integer >= 0.
            confusion: `(num_classes, num_classes)` int64 confusion matrix of this image alone.

        Raises:
            ValueError: When the matrix has another shape, or `index` is negative.
        """
        shape = (self.num_classes, self.num_classes)
        if np.shape(confusion) != shape:
            raise InputError(f"Expected a confusion matrix {shape}, got {np.shape(confusion)}.")
        if index < 0:
            raise InputError(f"index must be an integer >= 0, got {index!r}.")
        # The spawn key separates seed and index; concatenated, different pairs could be equal.
        source = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(index,)))
        weights = source.poisson(1, self.replicates)
        self.areas += weights[:, np.newaxis, np.newaxis] * areas(np.asarray(confusion, np.int64))
        self.images += 1

    def merge(self, other: "Bootstrap") -> None:
        """Adds the counts of other images.

        Args:
            other: Bootstrap with the same settings.

        Raises:
            ValueError: When the settings differ.
        """
        check_settings(self, other, _SETTINGS)
        self.areas += other.areas
        self.images += other.images

    def intervals(self, level: float = 0.95) -> dict[str, Any]:
        """Percentile intervals (Efron and Tibshirani 1993, chapter 13) of the metrics.

        Replicates in which a metric is undefined are skipped. A class that occurs in one image only
        gets an interval of zero width: nothing is known about its variation.

        Args:
            level: Share of the replicates inside an interval, between 0 and 1.

        Returns:
            Dict with `aAcc`, `mIoU`, `mAcc`, `mDice`, `mFscore`, `fwIoU`, each `(low, high)`, and
            `IoU`, a list with `(low, high)` per class. Fractions 0..1 as in `SegmentationMetrics`;
            NaN when fewer than two images were counted, or the metric is undefined in all
            replicates.

        Raises:
            ValueError: When `level` is not between 0 and 1.
        """
        overall, per_class = scores(self.areas)
        return {
            **{name: _interval(overall[name], level, self.images) for name in _SCORES},
            "IoU": [_interval(values, level, self.images) for values in per_class["IoU"].T],
        }


def paired_difference(first: Bootstrap, second: Bootstrap, level: float = 0.95) -> dict[str, Any]:
    """Differences of two models on the same images: scores of the second minus the first.

    Args:
        first: Bootstrap of the first model.
        second: Bootstrap of the second model, with the same settings and image indices.
        level: Share of the replicates inside an interval, between 0 and 1.

    Returns:
        Dict with `mIoU`, and `IoU`, a list with an entry per class. Each entry is a dict with `low`
        and `high`, the interval of the difference in fractions -1..1, and `share_positive`, the
        share of replicates in which the second is better. NaN as in `Bootstrap.intervals`.

    Raises:
        ValueError: When settings, number of images or labelled pixels differ, or `level` is not
            between 0 and 1.
    """
    check_settings(first, second, _SETTINGS)
    # Same labels and same weights: both models have the same labelled pixels in each replicate.
    same = np.array_equal(first.areas[:, 1], second.areas[:, 1])
    if first.images != second.images or not same:
        raise InputError(
            f"The {first.images} and {second.images} images counted differ in labels or indices: "
            "evaluate both models on the same images with the same indices."
        )
    before, after = scores(first.areas), scores(second.areas)

    def compare(differences: np.ndarray) -> dict[str, float]:
        low, high = _interval(differences, level, first.images)
        defined = differences[~np.isnan(differences)]
        share = float("nan") if np.isnan(low) else float(np.mean(defined > 0))
        return {"low": low, "high": high, "share_positive": share}

    return {
        "mIoU": compare(after[0]["mIoU"] - before[0]["mIoU"]),
        "IoU": [compare(values) for values in (after[1]["IoU"] - before[1]["IoU"]).T],
    }


def _interval(values: np.ndarray, level: float, images: int) -> tuple[float, float]:
    if not 0 < level < 1:
        raise InputError(f"level must be between 0 and 1, for example 0.95, got {level!r}.")
    defined = values[~np.isnan(values)]
    if images < 2 or not defined.size:
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return low, high
