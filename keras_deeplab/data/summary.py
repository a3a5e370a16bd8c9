"""Summary of a labelled dataset: pixel counts, class weights, samples for inspection."""

import dataclasses
from collections.abc import Iterable
from typing import Any, Self

import numpy as np

from keras_deeplab.data.class_table import IGNORE_INDEX


@dataclasses.dataclass(frozen=True)
class LabelCounts:
    """Pixel counts of a dataset.

    Args:
        images: Number of images.
        pixels: int64, labelled pixels of each class.
        ignored: Number of ignored pixels.
    """

    images: int
    pixels: np.ndarray
    ignored: int

    @classmethod
    def of_histogram(cls, counts: np.ndarray, num_classes: int, **others: Any) -> Self:
        """Counts from a histogram of 256 labels; `others` are the other fields."""
        return cls(pixels=counts[:num_classes], ignored=int(counts[IGNORE_INDEX]), **others)

    def describe(self) -> str:
        """Number of pairs, for a message."""
        return "1 pair" if self.images == 1 else f"{self.images} pairs"

    @property
    def shares(self) -> np.ndarray:
        """Share of each class in the labelled pixels, 0..1; NaN if there are none."""
        with np.errstate(invalid="ignore"):
            return self.pixels / self.pixels.sum()

    @property
    def class_weights(self) -> np.ndarray:
        """Suggested class weights for the loss: 1 / ln(1.02 + share), scaled to a mean of 1.

        The formula of ENet (arXiv 1606.02147, section 5.2), whose values reach from 1.4 for a
        class that covers everything to 50 for a rare one: a rare class weighs at most 35.5 times as
        much as another. The mean is over labelled pixels, so that the scale of the loss does not
        change. A class without pixels gets 0.
        """
        weights = np.where(self.pixels > 0, 1 / np.log(1.02 + self.shares), 0.0)
        return weights / np.sum(weights * self.shares)


@dataclasses.dataclass(frozen=True)
class SceneCounts(LabelCounts):
    """Pixel counts of scenes.

    Args:
        hectares: Labelled ground; `None` where the size of the pixels is unknown.
        origin: What the labels are, such as `"12 of 30 polygons"`.
    """

    hectares: float | None
    origin: str

    def describe(self) -> str:
        """Number of scenes and labelled ground, for a message."""
        scenes = "1 scene" if self.images == 1 else f"{self.images} scenes"
        if self.hectares is None:
            return f"{scenes}, {self.origin}"
        hectares = f"{self.hectares:.3g}" if self.hectares < 100 else f"{self.hectares:,.0f}"
        return f"{scenes}, {hectares} ha labelled, {self.origin}"


@dataclasses.dataclass(frozen=True)
class Summary(LabelCounts):
    """Pixel counts and samples of a dataset.

    Args:
        samples: `(image, label)` pairs, see `summarise`.
    """

    samples: list[tuple[np.ndarray, np.ndarray]]


def summarise(
    dataset: Iterable[tuple[np.ndarray, np.ndarray]],
    num_classes: int,
    *,
    total: int,
    samples: int = 8,
) -> Summary:
    """Counts the labels of a dataset in one pass.

    Args:
        dataset: `(image, label)` pairs.
        num_classes: Number of classes.
        total: Number of pairs.
        samples: Number of samples to keep. The dataset is divided into that many equal parts, and
            of each the sample with the most classes is kept.
    """
    counts = np.zeros(IGNORE_INDEX + 1, np.int64)
    best: dict[int, tuple[int, tuple[np.ndarray, np.ndarray]]] = {}  # part: (classes, sample)
    for index, (image, label) in enumerate(dataset):
        histogram = np.bincount(np.asarray(label).ravel(), minlength=IGNORE_INDEX + 1)
        counts += histogram
        part, found = index * samples // total, int(np.count_nonzero(histogram[:IGNORE_INDEX]))
        if part not in best or found > best[part][0]:
            best[part] = (found, (np.asarray(image), np.asarray(label)))
    samples_kept = [sample for _, sample in best.values()]
    return Summary.of_histogram(counts, num_classes, images=total, samples=samples_kept)
