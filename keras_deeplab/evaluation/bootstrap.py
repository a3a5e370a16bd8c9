"""Confidence intervals of metrics over images, in one pass: the Poisson bootstrap."""

import numpy as np

from keras_deeplab.evaluation.metrics import check_settings, derive

_SETTINGS = ("num_classes", "replicates", "seed")
_SCORES = ("aAcc", "mIoU", "mAcc", "mDice", "mFscore", "fwIoU")


class Bootstrap:
    """Replicates of a confusion matrix, as if as many sets of images had been drawn.

    Each replicate counts every image Poisson(1) times, which for many images is drawing them with
    replacement, but needs neither their number nor their matrices again (Hanley and MacGibbon 2006,
    "Creating non-parametric bootstrap samples using Poisson frequencies"; Chamandy et al. 2012,
    "Estimating uncertainty for massive data streams"). The weights of an image follow from seed and
    index alone: order and sharing among workers change nothing, and two models are compared on the
    same draws.

    The images are taken as independent. Tiles of one scene are not: give all of them the index of
    the scene, and whole scenes are drawn.

    Args:
        num_classes: Number of classes.
        replicates: Number of replicates.
        seed: Integer from 0 that the weights follow from.

    Attributes:
        confusions: `(replicates, num_classes, num_classes)` int64 pixel counts, labels in rows,
            predictions in columns.
        images: Number of images counted.

    Raises:
        ValueError: When there are no classes or replicates, or `seed` is negative.
    """

    def __init__(self, num_classes, *, replicates=1000, seed=0):
        for name, value, least in (
            ("num_classes", num_classes, 1),
            ("replicates", replicates, 1),
            ("seed", seed, 0),
        ):
            if value < least:
                raise ValueError(f"{name} must be an integer from {least}, got {value!r}.")
        self.num_classes = num_classes
        self.replicates = replicates
        self.seed = seed
        self.confusions = np.zeros((replicates, num_classes, num_classes), np.int64)
        self.images = 0

    def update(self, index, confusion):
        """Counts one image.

        Args:
            index: Integer from 0, the place of the image in the data set.
            confusion: `(num_classes, num_classes)` int64 confusion matrix of this image alone.

        Raises:
            ValueError: When the matrix has another shape, or `index` is negative.
        """
        shape = (self.num_classes, self.num_classes)
        if np.shape(confusion) != shape:
            raise ValueError(f"Expected a confusion matrix {shape}, got {np.shape(confusion)}.")
        if index < 0:
            raise ValueError(f"index must be an integer from 0, got {index!r}.")
        # A spawn key keeps apart what concatenated words of seed and index would not.
        source = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(index,)))
        weights = source.poisson(1, self.replicates)
        self.confusions += weights[:, np.newaxis, np.newaxis] * np.asarray(confusion, np.int64)
        self.images += 1

    def merge(self, other):
        """Adds the counts of other images.

        Args:
            other: `Bootstrap` of the same settings.

        Raises:
            ValueError: When the settings differ.
        """
        check_settings(self, other, _SETTINGS)
        self.confusions += other.confusions
        self.images += other.images

    def intervals(self, level=0.95):
        """Percentile intervals (Efron and Tibshirani 1993, chapter 13) of the metrics.

        Replicates in which a metric is undefined are left out. A class that only one image has gets
        an interval of no width: nothing is known about how it varies.

        Args:
            level: Share of the replicates inside an interval, between 0 and 1.

        Returns:
            Dict with `aAcc`, `mIoU`, `mAcc`, `mDice`, `mFscore`, `fwIoU`, each `(low, high)`, and
            `IoU`, a list of `(low, high)` of each class. Fractions 0..1 as of
            `SegmentationMetrics`; NaN when fewer than two images were counted, or no replicate has
            the metric.

        Raises:
            ValueError: When `level` is not between 0 and 1.
        """
        overall, per_class = derive(self.confusions)
        return {
            **{name: _interval(overall[name], level, self.images) for name in _SCORES},
            "IoU": [_interval(values, level, self.images) for values in per_class["IoU"].T],
        }


def paired_difference(first, second, level=0.95):
    """How much better the second of two models is on the same images.

    Args:
        first: `Bootstrap` of one model.
        second: `Bootstrap` of the other, with the same settings and image indices.
        level: Share of the replicates inside an interval, between 0 and 1.

    Returns:
        Dict with `mIoU` and `IoU`, a list with an entry for each class. Each is a dict of `low` and
        `high`, the interval of second minus first in fractions -1..1, and `share_positive`, the
        share of replicates in which the second is better. NaN as in `Bootstrap.intervals`.

    Raises:
        ValueError: When settings, number of images or labelled pixels differ, or `level` is not
            between 0 and 1.
    """
    check_settings(first, second, _SETTINGS)
    # Same labels under the same weights: each replicate has the same labelled pixels.
    labelled = [bootstrap.confusions.sum(axis=2) for bootstrap in (first, second)]
    if first.images != second.images or not np.array_equal(*labelled):
        raise ValueError(
            f"The {first.images} and {second.images} images counted differ in their labels or "
            "indices: evaluate both models on the same images, with the same indices."
        )
    before, after = derive(first.confusions), derive(second.confusions)

    def compare(differences):
        low, high = _interval(differences, level, first.images)
        defined = differences[~np.isnan(differences)]
        share = float("nan") if np.isnan(low) else float(np.mean(defined > 0))
        return {"low": low, "high": high, "share_positive": share}

    return {
        "mIoU": compare(after[0]["mIoU"] - before[0]["mIoU"]),
        "IoU": [compare(values) for values in (after[1]["IoU"] - before[1]["IoU"]).T],
    }


def _interval(values, level, images):
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, such as 0.95, got {level!r}.")
    defined = values[~np.isnan(values)]
    if images < 2 or not defined.size:
        return float("nan"), float("nan")
    return tuple(np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]).tolist())
