"""How far the probability of the predicted class is the share of right pixels."""

import numpy as np

from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.evaluation.metrics import check_settings


class Calibration:
    """Top-label calibration of pixels, in bins of equal width.

    The bins of Guo et al. (ICML 2017, arXiv 1706.04599, section 2): `bins` intervals
    `(low, high]` of the confidence, 0 in the first. All images are counted together.

    Args:
        bins: Number of bins; 15 is that of the paper.

    Attributes:
        pixels: `(bins,)` int64, counted pixels.
        right: `(bins,)` int64, those whose prediction is the label.
        confidence: `(bins,)` float64, sum of the confidences.

    Raises:
        ValueError: When there are no bins.
    """

    def __init__(self, bins=15):
        if bins < 1:
            raise ValueError(f"bins must be a positive integer, got {bins!r}.")
        self.bins = bins
        self.pixels = np.zeros(bins, np.int64)
        self.right = np.zeros(bins, np.int64)
        self.confidence = np.zeros(bins, np.float64)

    def update(self, labels, predictions, confidences, ignore_index=IGNORE_INDEX):
        """Counts one image.

        Args:
            labels: `(H, W)` class indices, or `ignore_index`.
            predictions: `(H, W)` class indices.
            confidences: `(H, W)` float32, probability 0..1 of the predicted class.
            ignore_index: Label value that is not counted.

        Raises:
            ValueError: When shapes differ, or a counted confidence is outside 0..1; names it.
        """
        labels, predictions = np.asarray(labels), np.asarray(predictions)
        confidences = np.asarray(confidences)
        if not labels.shape == predictions.shape == confidences.shape:
            raise ValueError(
                f"Labels {labels.shape}, predictions {predictions.shape} and confidences "
                f"{confidences.shape} differ."
            )
        valid = labels != ignore_index
        confidences = confidences[valid]
        allowed = (confidences >= 0) & (confidences <= 1)
        if not allowed.all():
            raise ValueError(
                f"A confidence is {confidences[~allowed][0]}: pass the probability of the "
                "predicted class, 0..1."
            )
        # In float32, so that a confidence of 0.2 is not above an edge of 0.2.
        confidences = confidences.astype(np.float32)
        edges = np.linspace(0, 1, self.bins + 1, dtype=np.float32)
        places = np.searchsorted(edges[1:-1], confidences, side="left")
        right = labels[valid] == predictions[valid]
        self.pixels += np.bincount(places, minlength=self.bins)
        self.right += np.bincount(places[right], minlength=self.bins)
        self.confidence += np.bincount(places, confidences, minlength=self.bins)

    def merge(self, other):
        """Adds the counts of other images.

        Args:
            other: `Calibration` with as many bins.

        Raises:
            ValueError: When the number of bins differs.
        """
        check_settings(self, other, ("bins",))
        self.pixels += other.pixels
        self.right += other.right
        self.confidence += other.confidence

    def result(self):
        """Errors as fractions 0..1, and the bins of a reliability diagram.

        Returns:
            Dict with `ECE`, the mean over pixels of |accuracy - confidence| of their bin (equation
            3 of the paper), `MCE`, the largest of any bin (equation 5), `mean_confidence` and
            `accuracy` of all pixels, all NaN when nothing was counted; and `bins`, a list of dicts
            of `low`, `high`, `pixels`, and mean `confidence` and `accuracy`, `None` where no pixel
            is.
        """
        total = self.pixels.sum()
        with np.errstate(invalid="ignore"):
            accuracy, confidence = self.right / self.pixels, self.confidence / self.pixels
            gaps = np.abs(accuracy - confidence)[self.pixels > 0]
            return {
                "ECE": float(np.sum(gaps * self.pixels[self.pixels > 0]) / total),
                "MCE": float(gaps.max()) if gaps.size else float("nan"),
                "mean_confidence": float(self.confidence.sum() / total),
                "accuracy": float(self.right.sum() / total),
                "bins": [
                    {
                        "low": index / self.bins,
                        "high": (index + 1) / self.bins,
                        "pixels": int(pixels),
                        "confidence": float(confidence[index]) if pixels else None,
                        "accuracy": float(accuracy[index]) if pixels else None,
                    }
                    for index, pixels in enumerate(self.pixels)
                ],
            }
