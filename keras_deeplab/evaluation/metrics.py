"""Segmentation metrics from an int64 confusion matrix."""

import numpy as np

from keras_deeplab.data.class_table import IGNORE_INDEX


class SegmentationMetrics:
    """Accumulates a confusion matrix and derives the metrics of the field from it.

    Args:
        num_classes: Number of classes.
        ignore_index: Label value that is not counted.

    Attributes:
        confusion: `(num_classes, num_classes)` int64 pixel counts, labels in rows, predictions in
            columns.
    """

    def __init__(self, num_classes, ignore_index=IGNORE_INDEX):
        if num_classes < 1:
            raise ValueError(f"num_classes must be a positive integer, got {num_classes!r}.")
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.confusion = np.zeros((num_classes, num_classes), np.int64)

    def update(self, labels, predictions):
        """Counts integer class maps.

        Args:
            labels: `(H, W)` or `(N, H, W)` class indices, or `ignore_index`.
            predictions: Class indices of the same shape.

        Raises:
            ValueError: When shapes differ, or a value is no class; names the values.
        """
        labels, predictions = np.asarray(labels), np.asarray(predictions)
        if labels.shape != predictions.shape:
            raise ValueError(f"Labels {labels.shape} and predictions {predictions.shape} differ.")
        valid = labels != self.ignore_index
        labels = labels[valid].astype(np.int64)
        predictions = predictions[valid].astype(np.int64)
        for kind, values in (("label", labels), ("prediction", predictions)):
            if values.size and not 0 <= values.min() <= values.max() < self.num_classes:
                wrong = np.unique(values[(values < 0) | (values >= self.num_classes)])
                raise ValueError(
                    f"Class values {wrong[:8].tolist()} in a {kind} are outside "
                    f"0..{self.num_classes - 1} (ignore_index is {self.ignore_index})."
                )
        codes = labels * self.num_classes + predictions
        counts = np.bincount(codes, minlength=self.num_classes**2)
        self.confusion += counts.reshape(self.num_classes, self.num_classes)

    def result(self):
        """Metrics as fractions 0..1.

        A class that occurs in neither labels nor predictions has no IoU and Dice; a class that is
        never labelled has no accuracy and F-score. Means leave such classes (NaN) out.

        Returns:
            Dict with `aAcc`, `mIoU`, `mAcc`, `mDice`, `mFscore`, `mPrecision`, `mRecall`, and
            `per_class`: a dict of `IoU`, `Acc`, `Dice`, `Fscore`, `Precision`, `Recall`, each a
            list of floats.
        """
        counts = self.confusion.astype(np.float64)
        intersect = np.diag(counts)
        labelled, predicted = counts.sum(axis=1), counts.sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            precision, recall = intersect / predicted, intersect / labelled
            per_class = {
                "IoU": intersect / (labelled + predicted - intersect),
                "Acc": recall,
                "Dice": 2 * intersect / (labelled + predicted),
                "Fscore": 2 * precision * recall / (precision + recall),
                "Precision": precision,
                "Recall": recall,
            }
            overall = float(intersect.sum() / counts.sum()) if counts.sum() else float("nan")
        means = {f"m{name}": _nanmean(values) for name, values in per_class.items()}
        return {
            "aAcc": overall,
            **means,
            "per_class": {name: values.tolist() for name, values in per_class.items()},
        }


def _nanmean(values):
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")
