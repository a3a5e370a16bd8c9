"""Segmentation metrics from an int64 confusion matrix."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab.data.class_table import IGNORE_INDEX


class SegmentationMetrics:
    """Accumulates a confusion matrix and derives segmentation metrics from it.

    Args:
        num_classes: Number of classes.
        ignore_index: Label value that is not counted.

    Attributes:
        confusion: `(num_classes, num_classes)` int64 pixel counts, labels in rows, predictions in
            columns.
        ignored: Number of pixels whose label was `ignore_index`.
    """

    def __init__(self, num_classes: int, ignore_index: int = IGNORE_INDEX) -> None:
        if num_classes < 1:
            raise InputError(f"num_classes must be a positive integer, got {num_classes!r}.")
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.confusion = np.zeros((num_classes, num_classes), np.int64)
        self.ignored = 0

    def update(self, labels: np.ndarray, predictions: np.ndarray) -> None:
        """Counts integer class maps.

        Args:
            labels: `(H, W)` or `(N, H, W)` class indices, or `ignore_index`.
            predictions: Class indices of the same shape.

        Raises:
            ValueError: When shapes differ, or a value is not a class index; names the values.
        """
        labels, predictions = np.asarray(labels), np.asarray(predictions)
        if labels.shape != predictions.shape:
            raise InputError(
                f"Labels {labels.shape} and predictions {predictions.shape} differ in shape."
            )
        valid = labels != self.ignore_index
        ignored = int(labels.size - np.count_nonzero(valid))
        labels = labels[valid].astype(np.int64)
        predictions = predictions[valid].astype(np.int64)
        check_classes("label", labels, self.num_classes, self.ignore_index)
        check_classes("prediction", predictions, self.num_classes, self.ignore_index)
        codes = labels * self.num_classes + predictions
        counts = np.bincount(codes, minlength=self.num_classes**2)
        self.confusion += counts.reshape(self.num_classes, self.num_classes)
        self.ignored += ignored

    def merge(self, other: "SegmentationMetrics") -> None:
        """Adds the counts of other images.

        Args:
            other: Metrics with the same settings.

        Raises:
            ValueError: When the settings differ.
        """
        check_settings(self, other, ("num_classes", "ignore_index"))
        self.confusion += other.confusion
        self.ignored += other.ignored

    def result(self) -> dict[str, Any]:
        """Metrics as fractions 0..1, see `derive`, and pixel counts.

        Returns:
            Dict with `aAcc`, `mIoU`, `mAcc`, `mDice`, `mFscore`, `mPrecision`, `mRecall`, `fwIoU`,
            `microIoU` (floats); `classes_present` (classes labelled at least once), `pixels`
            (counted) and `ignored_pixels` (ints); and `per_class`: a dict with `IoU`, `Acc`,
            `Dice`, `Fscore`, `Precision`, `Recall`, each a list of floats, and `labelled_pixels`
            and `predicted_pixels`, lists of ints.
        """
        overall, per_class = derive(self.confusion)
        labelled, predicted = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        return {
            **{name: float(value) for name, value in overall.items()},
            "classes_present": int(np.count_nonzero(labelled)),
            "pixels": int(labelled.sum()),
            "ignored_pixels": self.ignored,
            "per_class": {
                **{name: values.tolist() for name, values in per_class.items()},
                "labelled_pixels": labelled.tolist(),
                "predicted_pixels": predicted.tolist(),
            },
        }


def derive(confusion: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Scores of confusion matrices `(..., classes, classes)`, labels in rows; see `scores`."""
    return scores(areas(confusion))


def areas(confusion: np.ndarray) -> np.ndarray:
    """All that the scores need of confusion matrices, linear in the number of classes.

    Args:
        confusion: `(..., classes, classes)` int64 pixel counts, labels in rows, predictions in
            columns.

    Returns:
        `(..., 3, classes)` int64 pixel counts: of the intersection, labelled, predicted.
    """
    intersect = np.diagonal(confusion, axis1=-2, axis2=-1)
    return np.stack([intersect, confusion.sum(axis=-1), confusion.sum(axis=-2)], axis=-2)


def scores(counts: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Scores as fractions 0..1.

    IoU and Dice are undefined (NaN) for a class in neither labels nor predictions, accuracy for a
    class that is never labelled, precision for a class that is never predicted. The F-score,
    2PR / (P + R), is defined where precision P and recall R both are and one of them is above 0.
    Means, named `m...`, are over the classes where the score is defined.

    - `aAcc`: share of all pixels that are correct. Micro-averaged precision, recall and F-score all
      equal it, as every wrong pixel is one false positive and one false negative; those named
      `m...` are macro averages.
    - `fwIoU`: frequency weighted IoU of Long et al. (CVPR 2015, arXiv 1411.4038), the sum over
      classes of the share in the labels times IoU.
    - `microIoU`: sum of the intersections over sum of the unions of all classes.

    Args:
        counts: `(..., 3, classes)` pixel counts of `areas`.

    Returns:
        Two dicts of float64 arrays: `aAcc`, the means, `fwIoU` and `microIoU`, each `(...)`; and
        the scores per class, `(..., classes)`. NaN where undefined.
    """
    intersect, labelled, predicted = np.moveaxis(counts, -2, 0)
    union, pixels = labelled + predicted - intersect, labelled.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision, recall = intersect / predicted, intersect / labelled
        iou = intersect / union
        per_class = {
            "IoU": iou,
            "Acc": recall,
            "Dice": 2 * intersect / (labelled + predicted),
            "Fscore": 2 * precision * recall / (precision + recall),
            "Precision": precision,
            "Recall": recall,
        }
        overall = {
            "aAcc": intersect.sum(axis=-1) / pixels,
            **{f"m{name}": nanmean(values) for name, values in per_class.items()},
            "fwIoU": np.sum(labelled * np.where(labelled > 0, iou, 0), axis=-1) / pixels,
            "microIoU": intersect.sum(axis=-1) / union.sum(axis=-1),
        }
    return overall, per_class


def nanmean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis without NaN; NaN, and no warning, where all values are NaN."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(defined, values, 0).sum(axis=-1) / defined.sum(axis=-1)


def check_classes(kind: str, values: np.ndarray, num_classes: int, ignore_index: int) -> None:
    """Raises a `ValueError` that names the values outside `0..num_classes - 1`."""
    if values.size and not 0 <= values.min() <= values.max() < num_classes:
        wrong = np.unique(values[(values < 0) | (values >= num_classes)])
        raise InputError(
            f"Class values {wrong[:8].tolist()} in a {kind} are outside "
            f"0..{num_classes - 1} (ignore_index is {ignore_index})."
        )


def check_settings(first: object, second: object, names: Iterable[str]) -> None:
    """Raises a `ValueError` that names the first attribute in which two accumulators differ."""
    for name in names:
        values = getattr(first, name), getattr(second, name)
        if values[0] != values[1]:
            raise InputError(
                f"{name} is {values[0]} in one and {values[1]} in the other: create both with the "
                "same settings."
            )
