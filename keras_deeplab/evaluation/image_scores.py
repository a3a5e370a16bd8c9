"""Scores of single images: a row for each on the disk, and pictures of the best and the worst."""

import dataclasses
import heapq
import json
import tempfile
import weakref

import numpy as np

from keras_deeplab._internal.files import without_nan
from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.prediction.overlay import as_picture

SHOWN = 3  # best images, and worst ones
LONGEST_SIDE = 640  # pixels of a picture that is kept
IN_MEMORY = 1 << 20  # bytes of rows before they go to the disk


@dataclasses.dataclass(frozen=True)
class Sample:
    """An image to look at.

    Args:
        row: Its scores, see `ImageScores.rows`.
        image: `(H, W, 3)` uint8.
        label: `(H, W)` uint8 class indices, 255 where ignored.
        prediction: `(H, W)` uint8 class indices.
    """

    row: dict
    image: np.ndarray
    label: np.ndarray
    prediction: np.ndarray


class ImageScores:
    """Collects the scores of images; the memory it takes does not grow with their number.

    Args:
        class_names: Names of the classes.
    """

    def __init__(self, class_names):
        self.class_names = class_names
        self._file = tempfile.SpooledTemporaryFile(  # noqa: SIM115, closed when this object goes
            IN_MEMORY, "w+", encoding="utf-8"
        )
        weakref.finalize(self, self._file.close)
        self._ranked = 0
        self._best, self._worst = [], []  # heaps of (rank, -index, sample)

    def update(self, prediction, classes, metrics):
        """Adds an image.

        Args:
            prediction: `Prediction`.
            classes: `(H, W)` class indices that were predicted.
            metrics: `SegmentationMetrics` of this image alone.
        """
        row = self._row(prediction, metrics)
        self._file.write(json.dumps(row) + "\n")
        if row["mIoU"] is None:
            return
        self._ranked += 1
        for heap, rank in ((self._best, row["mIoU"]), (self._worst, -row["mIoU"])):
            # The index decides between equals, so that samples are never compared.
            place = (rank, -prediction.index)
            if len(heap) < SHOWN:
                heapq.heappush(heap, (*place, _sample(row, prediction, classes)))
            elif place > heap[0][:2]:
                heapq.heapreplace(heap, (*place, _sample(row, prediction, classes)))

    def _row(self, prediction, metrics):
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

    def rows(self):
        """Yields a dict per image, in the order they were added.

        Its keys: `index`, `name`, `pixels` (counted), `ignored_pixels`, `aAcc` and `mIoU` of this
        image (fractions 0..1; `None` where nothing is labelled), `classes_present` (labelled),
        `worst_class` (name of the one with the least IoU, or `None`).
        """
        self._file.seek(0)
        for line in self._file:
            yield json.loads(line)

    def samples(self):
        """The best and the worst images by mIoU, none of them twice.

        Returns:
            `(best, worst)`: two lists of `Sample`, the extremes first; at most three in each.
        """
        shown = min(SHOWN, (self._ranked + 1) // 2)
        worst = [entry[-1] for entry in sorted(self._worst, reverse=True)[:shown]]
        best = [entry[-1] for entry in sorted(self._best, reverse=True)]
        taken = {sample.row["index"] for sample in worst}
        return [sample for sample in best if sample.row["index"] not in taken][:shown], worst


def _sample(row, prediction, classes):
    step = -(-max(classes.shape) // LONGEST_SIDE)
    label = np.where(prediction.label < IGNORE_INDEX, prediction.label, IGNORE_INDEX)
    return Sample(
        row,
        as_picture(prediction.image[::step, ::step]),
        label[::step, ::step].astype(np.uint8),
        classes[::step, ::step].astype(np.uint8),
    )
