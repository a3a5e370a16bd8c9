"""Calibration: how well the confidence of the predicted class matches its accuracy."""

from typing import Any

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.evaluation.metrics import check_settings


class Calibration:
    """Top-label calibration of pixels, in bins of equal width.

    The bins of Guo et al. (ICML 2017, arXiv 1706.04599, section 2): `bins` intervals
    `(low, high]` of the confidence; 0 belongs to the first. All images are counted together.

    Args:
        bins: Number of bins; the paper uses 15.

    Attributes:
        pixels: `(bins,)` int64, counted pixels.
        right: `(bins,)` int64, correctly predicted pixels.
        confidence: `(bins,)` float64, sum of the confidences.

    Raises:
        ValueError: When `bins` is less than 1.
    """

    def __init__(self, bins: int = 15) -> None:
        if bins < 1:
            raise InputError(f"bins must be a positive integer, got {bins!r}.")
        self.bins = bins
        self.pixels = np.zeros(bins, np.int64)
        self.right = np.zeros(bins, np.int64)
        self.confidence = np.zeros(bins, np.float64)

    def update(
        self,
        labels: np.ndarray,
        predictions: np.ndarray,
        confidences: np.ndarray,
        ignore_index: int = IGNORE_INDEX,
    ) -> None:
        """Counts one image.

        Args:
            labels: `(H, W)` class indices, or `ignore_index`.
            predictions: `(H, W)` class indices.
            confidences: `(H, W)` float32, probability 0..1 of the predicted class.
            ignore_index: Label value that is not counted.

        Raises:
            ValueError: When shapes differ, or a counted confidence is outside 0..1; names the
                value.
        """
        labels, predictions = np.asarray(labels), np.asarray(predictions)
        confidences = np.asarray(confidences)
        if not labels.shape == predictions.shape == confidences.shape:
            raise InputError(
                f"Labels {labels.shape}, predictions {predictions.shape} and confidences "
                f"{confidences.shape} differ in shape."
            )
        valid = labels != ignore_index
        confidences = confidences[valid]
        allowed = (confidences >= 0) & (confidences <= 1)
        if not allowed.all():
            raise InputError(
                f"A confidence is {confidences[~allowed][0]}: pass the probability of the "
                "predicted class, 0..1."
            )
        # In float32, so that a confidence of 0.2 does not exceed a bin edge of 0.2.
        confidences = confidences.astype(np.float32)
        edges = np.linspace(0, 1, self.bins + 1, dtype=np.float32)
        places = np.searchsorted(edges[1:-1], confidences, side="left")
        right = labels[valid] == predictions[valid]
        self.pixels += np.bincount(places, minlength=self.bins)
        self.right += np.bincount(places[right], minlength=self.bins)
        self.confidence += np.bincount(places, confidences, minlength=self.bins)

    def merge(self, other: "Calibration") -> None:
        """Adds the counts of other images.

        Args:
            other: Calibration with the same number of bins.

        Raises:
            ValueError: When the number of bins differs.
        """
        check_settings(self, other, ("bins",))
        self.pixels += other.pixels
        self.right += other.right
        self.confidence += other.confidence

    def result(self) -> dict[str, Any]:
        """Calibration errors as fractions 0..1, and the bins of a reliability diagram.

        Returns:
            Dict with `ECE`, the mean over pixels of |accuracy - confidence| of their bin (equation
            3 of the paper), `MCE`, the largest of any bin (equation 5), `mean_confidence` and
            `accuracy` of all pixels, all NaN when nothing was counted; and `bins`, a list of dicts
            with `low`, `high`, `pixels`, and mean `confidence` and `accuracy`, `None` in empty
            bins.
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
