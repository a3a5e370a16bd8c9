"""Scores of single images: a row per image on disk, and the best and worst images."""

import dataclasses
import heapq
import json
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from keras_deeplab._internal.files import without_nan
from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.evaluation.metrics import SegmentationMetrics
from keras_deeplab.evaluation.predictions import Prediction
from keras_deeplab.prediction.overlay import as_picture

SHOWN = 3  # best images, and as many worst ones
LONGEST_SIDE = 640  # pixels of a kept image
IN_MEMORY = 1 << 20  # bytes of rows before they are written to disk


@dataclasses.dataclass(frozen=True)
class Sample:
    """An image that the report shows.

    Args:
        row: Its scores, see `ImageScores.rows`.
        image: `(H, W, 3)` uint8.
        label: `(H, W)` uint8 class indices, 255 where ignored.
        prediction: `(H, W)` uint8 class indices.
    """

    row: dict[str, Any]
    image: np.ndarray
    label: np.ndarray
    prediction: np.ndarray


class ImageScores:
    """Collects the scores of images; memory does not grow with their number.

    Args:
        class_names: Names of the classes.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = class_names
        self._file = tempfile.SpooledTemporaryFile(  # noqa: SIM115, closed by the finalizer
            IN_MEMORY, "w+", encoding="utf-8"
        )
        weakref.finalize(self, self._file.close)
        self._ranked = 0
        # Heaps of (rank, -index, sample).
        self._best: list[tuple[float, int, Sample]] = []
        self._worst: list[tuple[float, int, Sample]] = []

    def update(
        self, prediction: Prediction, classes: np.ndarray, metrics: SegmentationMetrics
    ) -> None:
        """Adds an image.

        Args:
            prediction: Image, label and name.
            classes: `(H, W)` predicted class indices.
            metrics: Metrics of this image alone.
        """
        row = self._row(prediction, metrics)
        self._file.write(json.dumps(row) + "\n")
        if row["mIoU"] is None:
            return
        self._ranked += 1
        for heap, rank in ((self._best, row["mIoU"]), (self._worst, -row["mIoU"])):
            # The index breaks ties, so that samples are never compared.
            place = (rank, -prediction.index)
            if len(heap) < SHOWN:
                heapq.heappush(heap, (*place, _sample(row, prediction, classes)))
            elif place > heap[0][:2]:
                heapq.heapreplace(heap, (*place, _sample(row, prediction, classes)))

    def _row(self, prediction: Prediction, metrics: SegmentationMetrics) -> dict[str, Any]:
        result = metrics.result()
        iou = np.array(result["per_class"]["IoU"])
        worst = None if np.isnan(iou).all() else self.class_names[int(np.nanargmin(iou))]
        return {
            "index": prediction.index,
            "name": prediction.name,
            "pixels": result["pixels"],
            "ignored_pixels": result["ignored_pixels"],
            "aAcc": without_nan(result["aAcc"]),
            "mIoU": without_nan(result["mIoU"]),
            "classes_present": result["classes_present"],
            "worst_class": worst,
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yields a dict per image, in the order of `update`.

        Its keys: `index`, `name`, `pixels` (counted), `ignored_pixels`, `aAcc` and `mIoU` of this
        image (fractions 0..1; `None` where nothing is labelled), `classes_present` (labelled),
        `worst_class` (name of the class with the lowest IoU, or `None`).
        """
        self._file.seek(0)
        for line in self._file:
            yield json.loads(line)

    def samples(self) -> tuple[list[Sample], list[Sample]]:
        """The best and the worst images by mIoU; no image is in both lists.

        Returns:
            `(best, worst)`, the extremes first; at most three in each.
        """
        shown = min(SHOWN, (self._ranked + 1) // 2)
        worst = [entry[-1] for entry in sorted(self._worst, reverse=True)[:shown]]
        best = [entry[-1] for entry in sorted(self._best, reverse=True)]
        used = {sample.row["index"] for sample in worst}
        return [sample for sample in best if sample.row["index"] not in used][:shown], worst


def _sample(row: dict[str, Any], prediction: Prediction, classes: np.ndarray) -> Sample:
    step = -(-max(classes.shape) // LONGEST_SIDE)
    label = np.where(prediction.label < IGNORE_INDEX, prediction.label, IGNORE_INDEX)
    return Sample(
        row,
        as_picture(prediction.image[::step, ::step]),
        label[::step, ::step].astype(np.uint8),
        classes[::step, ::step].astype(np.uint8),
    )
