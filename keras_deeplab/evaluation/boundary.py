"""How well the boundaries of classes are met: Boundary IoU and boundary F-score."""

import math

import numpy as np
from scipy.ndimage import maximum_filter1d, minimum_filter1d

from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.evaluation.metrics import check_classes, check_settings, derive, nanmean

_GROUP = 8  # classes whose contours are widened at once, a bit of a byte each


class BoundaryMetrics:
    """Accumulates counts of pixels at boundaries and derives two scores of each class from them.

    Boundary IoU (Cheng et al., CVPR 2021, arXiv 2103.16562): IoU of boundary regions. The region of
    a class is those of its pixels that have a pixel of another class within a square of `width`
    around them.

    Boundary F-score (Csurka et al., BMVC 2013, "What is a good evaluation measure for semantic
    segmentation?"): the contour of a class is those of its pixels that have another class above,
    below, left or right. Precision is the share of its predicted contour within the Euclidean
    distance `tolerance` of its labelled one, recall the reverse.

    Both are of the pixels of all images together, not means over images as in the second paper.
    Ignored pixels and the edge of the image are no boundary, as nothing is known of what is beyond
    them; the code of the first paper takes the edge for background. Predictions on ignored pixels
    are ignored.

    Args:
        num_classes: Number of classes.
        ignore_index: Label value that is not counted.
        width: Width of boundary regions, a share of the diagonal of the image; 0.02 is that of the
            paper. In pixels it is rounded, and at least 1.
        tolerance: Distance within which contours meet, likewise; 0.0075 is that of the paper.

    Attributes:
        regions: `(num_classes + 1, num_classes + 1)` int64 pixel counts, labels in rows,
            predictions in columns; the last is for pixels in no boundary region.
        contours: `(2, 2, num_classes)` int64 pixel counts of contours, of labels and of
            predictions: all, and those that the other comes near.

    Raises:
        ValueError: When there are no classes, or a share is not above 0.
    """

    def __init__(self, num_classes, *, ignore_index=IGNORE_INDEX, width=0.02, tolerance=0.0075):
        if num_classes < 1:
            raise ValueError(f"num_classes must be a positive integer, got {num_classes!r}.")
        if not (width > 0 and tolerance > 0):
            raise ValueError(f"width {width!r} and tolerance {tolerance!r} must be above 0.")
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.width = width
        self.tolerance = tolerance
        self.regions = np.zeros((num_classes + 1, num_classes + 1), np.int64)
        self.contours = np.zeros((2, 2, num_classes), np.int64)

    def update(self, labels, predictions):
        """Counts one image.

        Args:
            labels: `(H, W)` class indices, or `ignore_index`.
            predictions: `(H, W)` class indices.

        Raises:
            ValueError: When shapes differ or are of no single image, or a value is no class; names
                the values.
        """
        labels, predictions = np.asarray(labels), np.asarray(predictions)
        if labels.shape != predictions.shape or labels.ndim != 2:
            raise ValueError(
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

    def _count_regions(self, maps, distance):
        size = self.num_classes + 1
        label, prediction = (
            np.where(in_boundary_region(classes, distance), classes, self.num_classes)
            for classes in maps
        )
        codes = (label.astype(np.int32) * size + prediction)[maps[0] >= 0]
        self.regions += np.bincount(codes, minlength=size**2).reshape(size, size)

    def _count_contours(self, maps, distance):
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

    def merge(self, other):
        """Adds the counts of other images.

        Args:
            other: `BoundaryMetrics` of the same settings.

        Raises:
            ValueError: When the settings differ.
        """
        check_settings(self, other, ("num_classes", "ignore_index", "width", "tolerance"))
        self.regions += other.regions
        self.contours += other.contours

    def result(self):
        """Scores as fractions 0..1.

        A class without boundary in labels and predictions has no score (NaN); one without in one
        of them has 0. Means are over the classes that have the score.

        Returns:
            Dict with `mBoundaryIoU`, `mBoundaryFscore`, and `per_class`: a dict of `BoundaryIoU`,
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


def in_boundary_region(classes, distance):
    """Which pixels have another class within a square of `2 * distance + 1` around them.

    Args:
        classes: `(H, W)` int16 class indices, -1 for ignored pixels.
        distance: Pixels.

    Returns:
        `(H, W)` bool, of the class that `classes` tells; without meaning for ignored pixels.
    """
    highest = classes
    lowest = np.where(classes < 0, np.iinfo(np.int16).max, classes)
    for axis in (0, 1):  # a repeated edge adds no class that the square does not hold
        highest = maximum_filter1d(highest, 2 * distance + 1, axis=axis, mode="nearest")
        lowest = minimum_filter1d(lowest, 2 * distance + 1, axis=axis, mode="nearest")
    return highest != lowest


def on_contour(classes):
    """Which pixels have another class above, below, left or right; `classes` as above."""
    contour = np.zeros(classes.shape, bool)
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        differ = (classes[one] != classes[other]) & (classes[one] >= 0) & (classes[other] >= 0)
        contour[one] |= differ
        contour[other] |= differ
    return contour


def widened(bits, radius):
    """Bits of all pixels within a Euclidean distance, as union of rows of a disc.

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
