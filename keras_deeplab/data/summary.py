"""What a labelled data set holds: counts, class weights, samples to look at."""

import dataclasses

import numpy as np

from keras_deeplab.data.class_table import IGNORE_INDEX


@dataclasses.dataclass(frozen=True)
class Summary:
    """Counts over a data set, and samples of it.

    Args:
        images: Number of images.
        pixels: int64, labelled pixels of each class.
        ignored: Number of ignored pixels.
        samples: List of `(image, label)`, see `summarise`.
    """

    images: int
    pixels: np.ndarray
    ignored: int
    samples: list

    @property
    def shares(self):
        """Share of each class in the labelled pixels, 0..1; NaN where none is labelled."""
        with np.errstate(invalid="ignore"):
            return self.pixels / self.pixels.sum()

    @property
    def class_weights(self):
        """Suggested loss factor of each class: 1 / ln(1.02 + share), scaled to a mean of 1.

        The formula of ENet (arXiv 1606.02147, section 5.2): rare classes count more, at most about
        50 times as much. The mean is over labelled pixels, so that the loss keeps its size. A class
        that does not occur gets 0.
        """
        weights = np.where(self.pixels > 0, 1 / np.log(1.02 + self.shares), 0.0)
        return weights / np.sum(weights * self.shares)


def summarise(dataset, num_classes, *, total, samples=8):
    """Counts the labels of a data set in one pass.

    Args:
        dataset: Iterable of `(image, label)`.
        num_classes: Number of classes.
        total: Number of images in it.
        samples: How many samples to keep: of as many equal parts of the data set, the one with the
            most classes in each.

    Returns:
        `Summary`.
    """
    counts = np.zeros(IGNORE_INDEX + 1, np.int64)
    best = {}  # part of the data set: (classes in the sample, sample)
    for index, (image, label) in enumerate(dataset):
        histogram = np.bincount(np.asarray(label).ravel(), minlength=IGNORE_INDEX + 1)
        counts += histogram
        part, found = index * samples // total, np.count_nonzero(histogram[:IGNORE_INDEX])
        if part not in best or found > best[part][0]:
            best[part] = (found, (np.asarray(image), np.asarray(label)))
    return Summary(
        images=total,
        pixels=counts[:num_classes],
        ignored=int(counts[IGNORE_INDEX]),
        samples=[sample for _, sample in best.values()],
    )
