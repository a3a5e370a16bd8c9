"""Windows of a labelled scene, put together of blocks that stay in memory."""

from __future__ import annotations

import collections
import threading
import typing
from collections.abc import Hashable, Iterator

import numpy as np

from keras_deeplab._internal.memory import available_memory
from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.data.files.labelled import LabelProvider
from keras_deeplab.data.files.rasters import open_raster
from keras_deeplab.data.files.scenes import Scene

if typing.TYPE_CHECKING:
    from rasterio.windows import Window

BLOCK = 512  # pixels per side
SHARE, MOST = 0.125, 2 * 2**30  # of the available memory for blocks, and bytes at most

Block = tuple[np.ndarray, np.ndarray]  # image and label


class BlockCache:
    """The blocks that were used last, of all scenes of a dataset.

    Args:
        nbytes: Bytes to keep; by default an eighth of the available memory, up to 2 GiB.
    """

    def __init__(self, nbytes: int | None = None) -> None:
        self._free = min(int(SHARE * available_memory()), MOST) if nbytes is None else nbytes
        self._blocks: collections.OrderedDict[Hashable, Block] = collections.OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Block | None:
        """The block of a key; `None` if it is not there."""
        with self._lock:
            block = self._blocks.get(key)
            if block is not None:
                self._blocks.move_to_end(key)
            return block

    def put(self, key: Hashable, block: Block) -> None:
        """Keeps a block, instead of those that were not used for the longest time."""
        with self._lock:
            if key in self._blocks:
                return
            self._blocks[key] = block
            self._free -= _nbytes(block)
            while self._free < 0:
                _, oldest = self._blocks.popitem(last=False)
                self._free += _nbytes(oldest)


class LabelledScene:
    """A scene with its labels, which is read in blocks of a fixed grid.

    A pixel is therefore the same in all windows, also where an edge of a polygon meets its centre,
    or where the scene is resampled.

    Args:
        scene: The scene.
        labels: Its `LabelProvider`.
        form: Format to read it with.
        cache: `BlockCache` of the dataset.

    Attributes:
        path: The file of the scene.
    """

    def __init__(
        self, scene: Scene, labels: LabelProvider, form: ImageFormat, cache: BlockCache
    ) -> None:
        self.scene = scene
        self.path = scene.path
        self.labels = labels
        self.form = form
        self._cache = cache

    def read(self, window: Window) -> Block:
        """`(image, label)` of a window."""
        top, left = window.row_off, window.col_off
        shape = (window.height, window.width)
        image = np.empty((*shape, self.form.channels), self.form.dtype)
        label = np.empty(shape, np.uint8)
        for row in range(top // BLOCK, -(-(top + shape[0]) // BLOCK)):
            for column, block in self._row(row, left // BLOCK, -(-(left + shape[1]) // BLOCK)):
                rows, own_rows = _overlap(top, shape[0], row)
                columns, own_columns = _overlap(left, shape[1], column)
                image[rows, columns] = block[0][own_rows, own_columns]
                label[rows, columns] = block[1][own_rows, own_columns]
        return image, label

    def block_label(self, row: int, column: int) -> np.ndarray:
        """The label of a block; the image is not read where it has data everywhere."""
        if self.scene.all_valid:
            return self.labels.read(self._window(row, column, column + 1))
        return next(self._row(row, column, column + 1))[1][1]

    def _row(self, row: int, first: int, end: int) -> Iterator[tuple[int, Block]]:
        """Yields columns and blocks of a row of blocks."""
        kept = {column: self._cache.get((self, row, column)) for column in range(first, end)}
        blocks = {column: block for column, block in kept.items() if block is not None}
        missing = [column for column in kept if column not in blocks]
        # At once, for the sake of files in strips; resampled pixels depend on what is read.
        spans = [(column, column + 1) for column in missing]
        if missing and self.scene.scale is None:
            spans = [(missing[0], missing[-1] + 1)]
        for start, stop in spans:
            image, valid = self._read_image(self._window(row, start, stop))
            for column in range(start, stop):
                part = slice((column - start) * BLOCK, (column - start + 1) * BLOCK)
                label = self.labels.read(self._window(row, column, column + 1))
                if valid is not None:
                    label[~valid[:, part]] = IGNORE_INDEX
                block = np.ascontiguousarray(image[:, part]), label
                self._cache.put((self, row, column), block)
                blocks[column] = block
        yield from blocks.items()

    def _window(self, row: int, first: int, end: int) -> Window:
        """The window of neighbouring blocks of a row."""
        from rasterio.windows import Window

        top, left = row * BLOCK, first * BLOCK
        height, width = self.scene.shape
        return Window(left, top, min(end * BLOCK, width) - left, min(top + BLOCK, height) - top)

    def _read_image(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        from rasterio.windows import Window

        if self.scene.scale is None:
            return self.form.read(self.path, window)
        rows, columns = self.scene.scale
        stored = Window(
            window.col_off * columns,
            window.row_off * rows,
            window.width * columns,
            window.height * rows,
        )
        with open_raster(self.path) as raster:
            return self.form.read_open(raster, stored, size=(window.height, window.width))


def _overlap(start: int, length: int, block: int) -> tuple[slice, slice]:
    """The pixels that a window and a block share along an axis, as counted in each."""
    first, end = max(start, block * BLOCK), min(start + length, (block + 1) * BLOCK)
    return slice(first - start, end - start), slice(first - block * BLOCK, end - block * BLOCK)


def _nbytes(block: Block) -> int:
    return block[0].nbytes + block[1].nbytes
