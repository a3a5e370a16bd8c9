"""Scores of a whole scene, part by part and row by row: reading, prediction, blending."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator

import numpy as np

from keras_deeplab.models.inputs import MIN_SIZE
from keras_deeplab.prediction.blending import Rows, blended_rows, window_rows
from keras_deeplab.prediction.raster.background import in_background
from keras_deeplab.prediction.raster.boxes import Box
from keras_deeplab.prediction.raster.resampling import positions, scene_rows
from keras_deeplab.prediction.raster.scene import Scene
from keras_deeplab.prediction.windows import Axis

MEMORY = 700e6  # bytes of scores on their way; a part of the scene is as wide as they allow
ALIGNMENT = 512  # columns; parts begin with a block of the map
AHEAD = 4  # windows that are read before they are predicted

Predict = Callable[[np.ndarray], np.ndarray]  # image (H, W, C) to scores (H, W, classes)


@dataclasses.dataclass(frozen=True)
class Plan:
    """The windows of a scene on the grid of its prediction.

    Args:
        rows: Windows from top to bottom.
        columns: Windows from left to right.
        scale: Pixels of the scene in a pixel of the prediction, vertically and horizontally.
        classes: Number of classes.
    """

    rows: Axis
    columns: Axis
    scale: tuple[float, float]
    classes: int

    def parts(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Columns of the scene from `first` to before `last` that are predicted together."""
        bytes_a_column = 4 * self.classes * 4 * self.rows.size * max(self.scale[0], 1)
        widest = int(MEMORY / bytes_a_column * self.scale[1])
        widest = max(widest // ALIGNMENT, 1) * ALIGNMENT
        for left in range(first, last, widest):
            yield left, min(left + widest, last)


def plan_windows(
    height: int, width: int, *, scale: float, window: int, overlap: int, classes: int
) -> Plan:
    """The `Plan` of a scene of `(height, width)` pixels."""
    rows, columns = (max(round(side / scale), 1) for side in (height, width))
    return Plan(
        Axis(rows, window, overlap),
        Axis(columns, window, overlap),
        (height / rows, width / columns),
        classes,
    )


def scene_scores(
    scene: Scene,
    predict: Predict,
    plan: Plan,
    part: tuple[int, int],
    *,
    rows: tuple[int, int] | None = None,
    last_window: int | None = None,
) -> Iterator[Rows]:
    """Scores of some columns of a scene.

    Args:
        scene: `Scene`.
        predict: Function from an image `(H, W, C)` to its scores `(H, W, classes)`.
        plan: `Plan` of the scene.
        part: The columns, first and after the last.
        rows: Rows of the scene, first and after the last; all by default.
        last_window: The row of windows that is the last to count in these rows.

    Yields:
        First row and scores `(rows, columns of the part, classes)` float32, from top to bottom.
        Where windows have no valid pixel, they are 0. They do not depend on where the rows begin.
    """
    rows = (0, scene.grid.height) if rows is None else rows
    first = max(int(np.floor(positions(np.array([rows[0]]), plan.scale[0]))[0]), 0)
    ends = positions(np.array([part[0], part[1] - 1]), plan.scale[1])
    left = max(int(np.floor(ends[0])), 0)
    right = min(int(np.floor(ends[1])) + 2, plan.columns.length)
    order = [
        (i, j)
        for i in window_rows(plan.rows, first, last_window)
        for j in plan.columns.touching(left, right)
    ]
    with in_background(_images(scene, plan, order), AHEAD) as images:

        def scores(i: int, j: int) -> np.ndarray | None:
            image = next(images)
            return None if image is None else _predict_padded(predict, image)

        blending = blended_rows(
            *(plan.rows, plan.columns, scores, plan.classes, (left, right)),
            first=first,
            last_window=last_window,
        )
        with in_background(blending, 1) as blended:
            yield from scene_rows(blended, rows, part, left, plan.scale)


def _images(scene: Scene, plan: Plan, order: list[tuple[int, int]]) -> Iterator[np.ndarray | None]:
    """The images of windows; `None` for those without a valid pixel to predict."""
    (vertical, horizontal), size = plan.scale, (plan.rows.size, plan.columns.size)
    for i, j in order:
        if not scene.wanted(_counting_box(plan, i, j)):
            yield None
            continue
        top, left = plan.rows.starts[i], plan.columns.starts[j]
        box = Box(
            top * vertical,
            (top + size[0]) * vertical,
            left * horizontal,
            (left + size[1]) * horizontal,
        )
        image, valid = scene.read(box, size)
        yield image if valid.any() or _has_data(scene, box, size) else None


def _counting_box(plan: Plan, i: int, j: int) -> Box:
    """The pixels of the scene whose scores a window changes, by its indices."""
    (top, bottom), (left, right) = plan.rows.counting(i), plan.columns.counting(j)
    vertical, horizontal = plan.scale
    # A pixel of the scene is interpolated between pixels of the prediction.
    margin = 0 if plan.scale == (1.0, 1.0) else 1
    return Box(
        (top - margin) * vertical,
        (bottom + margin) * vertical,
        (left - margin) * horizontal,
        (right + margin) * horizontal,
    )


def _has_data(scene: Scene, box: Box, size: tuple[int, int]) -> bool:
    """Whether a box has a valid pixel that resampling to a size may have left out."""
    if (box.bottom - box.top, box.right - box.left) == size:
        return False
    top, bottom = math.floor(box.top), min(math.ceil(box.bottom), scene.grid.height)
    left, right = math.floor(box.left), min(math.ceil(box.right), scene.grid.width)
    _, valid = scene.read(Box(top, bottom, left, right), (bottom - top, right - left))
    return bool(valid.any())


def _predict_padded(predict: Predict, image: np.ndarray) -> np.ndarray:
    """Scores of an image; one that is too small for a network is continued at its border."""
    height, width = image.shape[:2]
    below, right = max(MIN_SIZE - height, 0), max(MIN_SIZE - width, 0)
    if below or right:
        image = np.pad(image, ((0, below), (0, right), (0, 0)), mode="edge")
    return predict(image)[:height, :width]
