"""Scenes with labels, of which only windows are read."""

from __future__ import annotations

import concurrent.futures
import pathlib
import typing
from collections.abc import Iterator, Sequence

import numpy as np
import tqdm

from keras_deeplab._internal.errors import InputError
from keras_deeplab.data.class_table import IGNORE_INDEX, ClassTable
from keras_deeplab.data.files.bad_files import BadFiles
from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.data.files.labelled import LabelProvider, Part, labelled_dataset, part_of
from keras_deeplab.data.files.places import places_of
from keras_deeplab.data.files.rasters import UnreadableFileError
from keras_deeplab.data.files.scene_blocks import BLOCK, BlockCache, LabelledScene
from keras_deeplab.data.files.scenes import Scene
from keras_deeplab.data.files.windows import Cells, GridWindows, RandomWindows
from keras_deeplab.data.summary import SceneCounts

if typing.TYPE_CHECKING:
    import tensorflow as tf

CELL = 32  # pixels per side of the cells whose labelled pixels are counted; divides BLOCK


class LabelledScenes:
    """Scenes with their labels, which are counted once.

    Args:
        scenes: The scenes.
        labels: The `LabelProvider` of each.
        classes: Classes of the labels.
        form: Format to read the scenes with.
        bad_files: `BadFiles` for parts that cannot be read, which count as ignored; or `None`.
        origin: What the labels are, for messages, such as `"12 of 30 polygons"`.

    Attributes:
        counts: `SceneCounts` of the labels.

    Raises:
        ValueError: When no pixel is labelled.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        labels: Sequence[LabelProvider],
        classes: ClassTable,
        form: ImageFormat,
        bad_files: BadFiles | None = None,
        *,
        origin: str,
    ) -> None:
        self._scenes = scenes
        cache = BlockCache()
        self._form = form
        self._images = [
            LabelledScene(scene, provider, form, cache)
            for scene, provider in zip(scenes, labels, strict=True)
        ]
        self._bad_files = bad_files
        histogram, hectares, weights = self._count()
        self.counts = SceneCounts.of_histogram(
            histogram, len(classes), images=len(scenes), hectares=hectares, origin=origin
        )
        if not self.counts.pixels.sum():
            raise InputError(
                f"No pixel of {_count(len(scenes), 'scene')} is labelled: all is ignored. "
                f"Check the classes, the labelled area and the nodata value ({labels[0].path})."
            )
        self._cells = Cells(CELL, weights)

    @property
    def cells(self) -> list[np.ndarray]:
        """Labelled pixels of the cells of each scene, `(rows, columns)`."""
        return self._cells.weights

    def dataset(
        self, windows: RandomWindows | GridWindows, *, kept: bool = True
    ) -> tf.data.Dataset:
        """The `(image, label)` of windows of the scenes.

        Args:
            windows: Random windows, around labelled pixels; or those of a grid that have any.
            kept: Whether they may be kept in memory after they are read.
        """
        if isinstance(windows, RandomWindows):
            shapes = [scene.shape for scene in self._scenes]

            def part(index: int) -> Part:
                return part_of(*windows.place_around(index, shapes, self._cells))

            count = windows.count
        else:
            parts = self._grid_parts(windows)

            def part(index: int) -> Part:
                return parts[index]

            count = len(parts)
        return labelled_dataset(
            self._images,
            self._form,
            part,
            count,
            pixels=count * windows.size**2,  # none is larger
            kept=kept,
            bad_files=self._bad_files,
        )

    def names(self, windows: GridWindows) -> Iterator[str]:
        """Yields a name for each window of a grid: that of the scene, row and column."""
        for number, window, _ in self._grid_parts(windows):
            assert window is not None
            stem = pathlib.PurePath(self._scenes[number].path).stem
            yield f"{stem} row {window.row_off} column {window.col_off}"

    def _grid_parts(self, windows: GridWindows) -> list[Part]:
        """The windows of a grid that have labelled pixels that count in them."""
        parts = []
        for number, scene in enumerate(self._scenes):
            columns = windows.axis(scene.shape[1])
            for start, end, top, bottom in windows.axis(scene.shape[0]):
                for first, last, left, right in columns:
                    if not self._cells.any_in(number, top, bottom, left, right):
                        continue
                    whole = part_of(number, start, first, end - start, last - first)
                    counted = slice(top - start, bottom - start), slice(left - first, right - first)
                    parts.append(whole._replace(counted=counted))
        return parts

    def _count(self) -> tuple[np.ndarray, float | None, list[np.ndarray]]:
        """How many pixels have each label, labelled hectares, and labelled pixels of the cells."""
        jobs = [
            (number, row, column)
            for number, scene in enumerate(self._scenes)
            for row in range(-(-scene.grid.height // BLOCK))
            for column in range(-(-scene.grid.width // BLOCK))
        ]
        places = [places_of(scene.grid) for scene in self._scenes]
        cells = [np.zeros([-(-n // CELL) for n in scene.shape], int) for scene in self._scenes]
        histogram, metres = np.zeros(IGNORE_INDEX + 1, np.int64), 0.0
        with concurrent.futures.ThreadPoolExecutor() as pool:
            counted = pool.map(lambda job: self._count_block(*job), jobs)
            bar = tqdm.tqdm(
                counted, desc="counting labels", total=len(jobs), unit="block", delay=2, leave=False
            )
            for (number, row, column), (found, labelled, size) in zip(jobs, bar, strict=True):
                histogram += found
                rows, columns = (
                    slice(block * BLOCK // CELL, block * BLOCK // CELL + count)
                    for block, count in zip((row, column), labelled.shape, strict=True)
                )
                cells[number][rows, columns] = labelled
                metres += labelled.sum() * _square_metres(
                    places[number], row * BLOCK, column * BLOCK, size
                )
        return histogram, None if None in places else metres / 10_000, cells

    def _count_block(
        self, number: int, row: int, column: int
    ) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
        """How many pixels of a block have each label, labelled pixels of its cells, its size."""
        label = self._label(number, row, column)
        histogram = np.bincount(label.ravel(), minlength=IGNORE_INDEX + 1)
        return histogram, _in_cells(label != IGNORE_INDEX), label.shape

    def _label(self, number: int, row: int, column: int) -> np.ndarray:
        """The label of a block; of one that cannot be read it is ignored."""
        try:
            return self._images[number].block_label(row, column)
        except UnreadableFileError as error:
            if self._bad_files is None:
                raise
            self._bad_files.note(error)
            height, width = self._scenes[number].shape
            size = min(BLOCK, height - row * BLOCK), min(BLOCK, width - column * BLOCK)
            return np.full(size, IGNORE_INDEX, np.uint8)


def _in_cells(labelled: np.ndarray) -> np.ndarray:
    """How many pixels of each cell are true, of a block `(H, W)` bool."""
    rows, columns = (range(0, length, CELL) for length in labelled.shape)
    sums = np.add.reduceat(labelled, rows, axis=0, dtype=int)
    return np.add.reduceat(sums, columns, axis=1)


def _square_metres(places: typing.Any, top: int, left: int, size: tuple[int, ...]) -> float:
    """Mean area of the pixels of a part; 0 where unknown."""
    if places is None:
        return 0.0
    height, width = size
    return places.area(top, top + height, left, left + width) / (height * width)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + "s" * (number != 1)
