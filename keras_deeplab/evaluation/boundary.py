"""Accuracy of class boundaries: Boundary IoU and boundary F-score."""

import math
from typing import Any

import numpy as np
from scipy.ndimage import maximum_filter1d, minimum_filter1d

from keras_deeplab._internal.errors import InputError
from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.evaluation.metrics import check_classes, check_settings, derive, nanmean

_GROUP = 8  # classes whose contours are dilated at once, one bit of a byte each


class BoundaryMetrics:
    """Accumulates pixel counts at class boundaries and derives two scores per class from them.

    Boundary IoU (Cheng et al., CVPR 2021, arXiv 2103.16562): IoU of boundary regions. The region of
    a class consists of its pixels that have a pixel of another class in the square window around
    them, up to `width` away in each direction.

    Boundary F-score (Csurka et al., BMVC 2013, "What is a good evaluation measure for semantic
    segmentation?"): the contour of a class consists of its pixels that have another class above,
    below, left or right. Precision is the share of its predicted contour within the Euclidean
    distance `tolerance` of its labelled contour, recall the reverse.

    Both count the pixels of all images together; they are not means over images as in the second
    paper. Ignored pixels and the image border are not boundaries, as the classes beyond them are
    unknown; the code of the first paper treats the border as background. Predictions on ignored
    pixels are ignored.

    Args:
        num_classes: Number of classes.
        ignore_index: Label value that is not counted.
        width: Width of boundary regions as a share of the image diagonal; the paper uses 0.02. It
            is rounded to whole pixels, at least 1.
        tolerance: Distance within which contours match, likewise; the paper uses 0.0075.

    Attributes:
        regions: `(num_classes + 1, num_classes + 1)` int64 pixel counts, labels in rows,
            predictions in columns; the last index counts pixels outside of boundary regions.
        contours: `(2, 2, num_classes)` int64 pixel counts of the contours of labels and of
            predictions: all pixels, and those within `tolerance` of the other contour.

    Raises:
        ValueError: When `num_classes` is less than 1, or `width` or `tolerance` is not above 0.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        ignore_index: int = IGNORE_INDEX,
        width: float = 0.02,
        tolerance: float = 0.0075,
    ) -> None:
        if num_classes < 1:
            raise InputError(f"num_classes must be a positive integer, got {num_classes!r}.")
        if not (width > 0 and tolerance > 0):
            raise InputError(f"width {width!r} and tolerance {tolerance!r} must be above 0.")
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.width = width
        self.tolerance = tolerance
        self.regions = np.zeros((num_classes + 1, num_classes + 1), np.int64)
        self.contours = np.zeros((2, 2, num_classes), np.int64)

    def update(self, labels: np.ndarray, predictions: np.ndarray) -> None:
        """Counts one image.

        Args:
            labels: `(H, W)` class indices, or `ignore_index`.
            predictions: `(H, W)` class indices.

        Raises:
            ValueError: When shapes differ or are not `(H, W)`, or a value is not a class index;
                names the values.
        """
        labels, predictions = np.asarray(labels), np.asarray(predictions)
        if labels.shape != predictions.shape or labels.ndim != 2:
            raise InputError(
                f"Expected labels and predictions (H, W) of one image, got {labels.shape} and "
                f"{predictions.shape}."
            )
        valid = labels != self.ignore_index
        for kind, values in (("label", labels), ("prediction", predictions)):
            check_classes(kind, values[valid], self.num_classes, self.ignore_index)
        maps = [np.where(valid, values.astype(np.int16), -1) for values in (labels, predictions)]
        diagonal = math.hypot(*labels.shape)
        self._count_regions(maps, max(1, round(self.width * diagonal)))
        self._count_contours(maps, max(1, round(self.tolerance * diagonal)))

    def _count_regions(self, maps: list[np.ndarray], distance: int) -> None:
        size = self.num_classes + 1
        label, prediction = (
            np.where(in_boundary_region(classes, distance), classes, self.num_classes)
            for classes in maps
        )
        codes = (label.astype(np.int32) * size + prediction)[maps[0] >= 0]
        self.regions += np.bincount(codes, minlength=size**2).reshape(size, size)

    def _count_contours(self, maps: list[np.ndarray], distance: int) -> None:
        points = [np.nonzero(on_contour(classes)) for classes in maps]
        classes = [values[place] for values, place in zip(maps, points, strict=True)]
        for ours, theirs in ((0, 1), (1, 0)):
            self.contours[ours, 0] += np.bincount(classes[ours], minlength=self.num_classes)
            for start in range(0, self.num_classes, _GROUP):
                bits = np.zeros(self.num_classes, np.uint8)
                bits[start : start + _GROUP] = 1 << np.arange(len(bits[start : start + _GROUP]))
                marked = bits[classes[theirs]]
                if not marked.any():
                    continue
                near = np.zeros(maps[0].shape, np.uint8)
                near[points[theirs]] = marked
                near = widened(near, distance)[points[ours]]
                met = classes[ours][(near & bits[classes[ours]]) > 0]
                self.contours[ours, 1] += np.bincount(met, minlength=self.num_classes)

    def merge(self, other: "BoundaryMetrics") -> None:
        """Adds the counts of other images.

        Args:
            other: Metrics with the same settings.

        Raises:
            ValueError: When the settings differ.
        """
        check_settings(self, other, ("num_classes", "ignore_index", "width", "tolerance"))
        self.regions += other.regions
        self.contours += other.contours

    def result(self) -> dict[str, Any]:
        """Scores as fractions 0..1.

        A class with a boundary in neither labels nor predictions has no score (NaN); a class with a
        boundary in only one of them has 0. Means are over the classes with a score.

        Returns:
            Dict with `mBoundaryIoU`, `mBoundaryFscore`, and `per_class`: a dict with `BoundaryIoU`,
            `BoundaryFscore`, `BoundaryPrecision`, `BoundaryRecall`, each a list of floats.
        """
        iou = derive(self.regions)[1]["IoU"][: self.num_classes]
        (labelled, labelled_met), (predicted, predicted_met) = self.contours
        with np.errstate(invalid="ignore"):
            precision, recall = predicted_met / predicted, labelled_met / labelled
            fscore = np.nan_to_num(2 * precision * recall / (precision + recall))
        fscore[labelled + predicted == 0] = np.nan
        return {
            "mBoundaryIoU": float(nanmean(iou)),
            "mBoundaryFscore": float(nanmean(fscore)),
            "per_class": {
                "BoundaryIoU": iou.tolist(),
                "BoundaryFscore": fscore.tolist(),
                "BoundaryPrecision": precision.tolist(),
                "BoundaryRecall": recall.tolist(),
            },
        }


def in_boundary_region(classes: np.ndarray, distance: int) -> np.ndarray:
    """Mask of pixels with another class within a square of side `2 * distance + 1` around them.

    Args:
        classes: `(H, W)` int16 class indices, -1 for ignored pixels.
        distance: Pixels.

    Returns:
        `(H, W)` bool: the boundary regions of all classes; undefined for ignored pixels.
    """
    highest = classes
    lowest = np.where(classes < 0, np.iinfo(np.int16).max, classes)
    for axis in (0, 1):  # repeating the edge adds no other class to the square
        highest = maximum_filter1d(highest, 2 * distance + 1, axis=axis, mode="nearest")
        lowest = minimum_filter1d(lowest, 2 * distance + 1, axis=axis, mode="nearest")
    return highest != lowest


def on_contour(classes: np.ndarray) -> np.ndarray:
    """Mask of pixels with another class above, below, left or right; `classes` as above."""
    contour = np.zeros(classes.shape, bool)
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        differ = (classes[one] != classes[other]) & (classes[one] >= 0) & (classes[other] >= 0)
        contour[one] |= differ
        contour[other] |= differ
    return contour


def widened(bits: np.ndarray, radius: int) -> np.ndarray:
    """Dilates bit masks by a disc, as the union of the rows of the disc.

    Args:
        bits: `(H, W)` uint8.
        radius: Pixels.

    Returns:
        `(H, W)` uint8, the bitwise or over a disc around each pixel.
    """
    height, width = bits.shape
    rows, reach, result = bits.copy(), 0, np.zeros_like(bits)
    for shift in range(radius, -1, -1):  # from the short rows of the disc to the longest
        while reach < math.isqrt(radius**2 - shift**2):
            reach += 1
            rows[:, reach:] |= bits[:, : max(width - reach, 0)]
            rows[:, : max(width - reach, 0)] |= bits[:, reach:]
        result[shift:] |= rows[: max(height - shift, 0)]
        result[: max(height - shift, 0)] |= rows[shift:]
    return result
