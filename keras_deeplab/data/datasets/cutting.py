"""Cutting scenes and their labels into PNG tiles, without loading a whole image."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab.data.class_table import IGNORE_INDEX, ClassTable
from keras_deeplab.data.datasets.scenes import Scene
from keras_deeplab.data.files.grid import window_starts
from keras_deeplab.data.files.rasters import open_raster, palette

if TYPE_CHECKING:
    from rasterio import DatasetReader

AHEAD = 32  # tiles to encode in the background

DecodeRows = Callable[["DatasetReader", slice, str], np.ndarray]
"""Function of the raster of a label, rows, and its file name to the label map of these rows."""

Tile = tuple[Scene, int, int, bytes, bytes]
"""Scene, first row, first column, and image and label as PNG."""


def cut_scenes(
    scenes: Sequence[Scene],
    *,
    size: int | None,
    step: int | None,
    decode: DecodeRows,
    pad: bool,
    work_dir: pathlib.Path,
) -> Iterator[Tile]:
    """Yields the tiles of scenes, row by row.

    Only the rows of one row of tiles are in memory. An image smaller than a tile becomes one tile
    of its own size, or a padded one.

    Args:
        scenes: The scenes.
        size: Side of a tile in pixels; `None` for the whole image as one tile.
        step: Pixels from one tile to the next.
        decode: Decodes rows of a label.
        pad: Whether smaller tiles are padded: the image with 0, the label with 255.
        work_dir: Folder for copies of files in a zip.

    Yields:
        `(scene, row, column, image, label)`: position of the tile in the scene, and two PNG files.

    Raises:
        ValueError: When a file is damaged, differs in size from its partner, or has the wrong
            colours or dtype; names the file.
    """
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting: collections.deque[tuple] = collections.deque()
        for scene, image_path, label_path in _on_disk(scenes, work_dir):
            with (
                open_raster(image_path, name=scene.image.name) as image,
                open_raster(label_path, name=scene.label.name) as label,
            ):
                check_sizes(scene, (image.width, image.height), (label.width, label.height))
                side = size if pad and size else 0
                for row, column, pixels, labels in _tiles(scene, image, label, size, step, decode):
                    encoded = (
                        pool.submit(_png, pixels, side, 0),
                        pool.submit(_png, labels, side, IGNORE_INDEX),
                    )
                    waiting.append((scene, row, column, *encoded))
                    if len(waiting) > AHEAD:
                        yield _finished(*waiting.popleft())
        while waiting:
            yield _finished(*waiting.popleft())


def _on_disk(
    scenes: Sequence[Scene], work_dir: pathlib.Path
) -> Iterator[tuple[Scene, pathlib.Path, pathlib.Path]]:
    """Yields `(scene, image path, label path)`; unpacks the next scene in the background."""

    def unpack(scene: Scene) -> tuple[contextlib.ExitStack, list[pathlib.Path]]:
        stack = contextlib.ExitStack()
        paths = [stack.enter_context(file.on_disk(work_dir)) for file in (scene.image, scene.label)]
        return stack, paths

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        upcoming = None
        for scene, following in zip(scenes, [*scenes[1:], None], strict=True):
            stack, paths = upcoming.result() if upcoming else unpack(scene)
            upcoming = pool.submit(unpack, following) if following else None
            with stack:
                yield scene, paths[0], paths[1]


def check_sizes(scene: Scene, image: tuple[int, int], label: tuple[int, int]) -> None:
    """Raises a `ValueError` when the sizes (width, height) of image and label differ."""
    if image != label:
        raise InputError(
            f"Image and label differ in size (width, height): {scene.image.name} is {image}, "
            f"{scene.label.name} is {label}."
        )


def _tiles(
    scene: Scene,
    image: DatasetReader,
    label: DatasetReader,
    size: int | None,
    step: int | None,
    decode: DecodeRows,
) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """Yields `(row, column, pixels, labels)` of `(h, w, 3)` and `(h, w, 1)` uint8."""
    size = size or max(image.shape)
    step = step or size
    for row in window_starts(image.height, size, step):
        rows = slice(row, min(row + size, image.height))
        pixels = read_colors(image, rows, scene.image.name)
        labels = decode(label, rows, scene.label.name)[..., np.newaxis]
        for column in window_starts(image.width, size, step):
            columns = slice(column, column + size)
            yield row, column, pixels[:, columns], labels[:, columns]


def _finished(scene: Scene, row: int, column: int, image: Any, label: Any) -> Tile:
    return scene, row, column, image.result(), label.result()


def read_colors(raster: DatasetReader, rows: slice, name: str) -> np.ndarray:
    """Rows of a raster as `(rows, width, 3)` uint8 RGB; grey becomes RGB, alpha is dropped."""
    values = read_rows(raster, rows, name)
    colors = palette(raster)
    if colors is not None:
        return colors[values[..., 0]]
    return values[..., :3] if values.shape[-1] >= 3 else values[..., :1].repeat(3, axis=-1)


def decode_colors(
    raster: DatasetReader,
    rows: slice,
    name: str,
    classes: ClassTable,
    *,
    ignore_unknown: bool = False,
) -> np.ndarray:
    """Label map of rows of a label in the colours of a class table, see `ClassTable.decode`."""
    if raster.count < 3 and palette(raster) is None:
        raise InputError(f"{name}: expected a label in colours, found a greyscale image.")
    colors = read_colors(raster, rows, name)
    return classes.decode(colors, where=name, origin=(rows.start, 0), ignore_unknown=ignore_unknown)


def read_rows(raster: DatasetReader, rows: slice, name: str) -> np.ndarray:
    """Rows of a raster as `(rows, width, bands)` uint8."""
    if set(raster.dtypes) != {"uint8"}:
        raise InputError(f"{name}: expected 8 bits per channel, found {raster.dtypes[0]}.")
    window = ((rows.start, rows.stop), (0, raster.width))
    return np.moveaxis(raster.read(window=window), 0, -1)


def _png(values: np.ndarray, side: int, fill: int) -> bytes:
    import tensorflow as tf

    missing = [(0, max(side - length, 0)) for length in values.shape[:2]]
    if any(after for _, after in missing):
        values = np.pad(values, [*missing, (0, 0)], constant_values=fill)
    # Lowest compression: faster, and only slightly larger.
    return tf.io.encode_png(values, compression=1).numpy()
