"""Tiles of original images and their labels, as PNG, without holding a whole image."""

import collections
import concurrent.futures
import contextlib
import os

import numpy as np

from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.data.files.grid import window_starts
from keras_deeplab.data.files.rasters import open_raster, palette

AHEAD = 32  # tiles that are encoded while others are read


def cut_scenes(scenes, *, size, step, decode, pad, work_dir):
    """Yields the tiles of scenes, row by row.

    Only a band of an image as high as a tile is in memory. An image smaller than a tile gives one
    tile of its own size, or a padded one.

    Args:
        scenes: List of `Scene`.
        size: Side of a tile in pixels; `None` for the whole image as one tile.
        step: Pixels from one tile to the next.
        decode: Function of a raster, rows and the name of its file to the label map of these rows.
        pad: Whether smaller tiles are filled up: the image with 0, the label with 255.
        work_dir: Folder for copies of files that lie in a zip.

    Yields:
        `(scene, row, column, image, label)`: position of the tile in the scene, and two PNG files.

    Raises:
        ValueError: Names the file that is damaged, of another size than its partner, or has the
            wrong colours or type.
    """
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting = collections.deque()
        for scene, image_path, label_path in _on_disk(scenes, work_dir):
            with (
                open_raster(image_path, name=scene.image.name) as image,
                open_raster(label_path, name=scene.label.name) as label,
            ):
                check_sizes(scene, (image.width, image.height), (label.width, label.height))
                for row, column, *parts in _tiles(scene, image, label, size, step, decode):
                    side = size if pad else 0
                    encoded = [
                        pool.submit(_png, part, side, fill)
                        for part, fill in zip(parts, (0, IGNORE_INDEX), strict=True)
                    ]
                    waiting.append((scene, row, column, *encoded))
                    if len(waiting) > AHEAD:
                        yield _finished(*waiting.popleft())
        while waiting:
            yield _finished(*waiting.popleft())


def _on_disk(scenes, work_dir):
    """Yields `(scene, image path, label path)`; the next scene is unpacked in the meantime."""

    def unpack(scene):
        stack = contextlib.ExitStack()
        paths = [stack.enter_context(file.on_disk(work_dir)) for file in (scene.image, scene.label)]
        return stack, paths

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        upcoming = None
        for scene, following in zip(scenes, [*scenes[1:], None], strict=True):
            stack, paths = upcoming.result() if upcoming else unpack(scene)
            upcoming = pool.submit(unpack, following) if following else None
            with stack:
                yield scene, *paths


def check_sizes(scene, image, label):
    """Raises a `ValueError` when the sizes (width, height) of image and label differ."""
    if image != label:
        raise ValueError(
            f"Image and label differ in size (width, height): {scene.image.name} is {image}, "
            f"{scene.label.name} is {label}."
        )


def _tiles(scene, image, label, size, step, decode):
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


def _finished(scene, row, column, image, label):
    return scene, row, column, image.result(), label.result()


def read_colors(raster, rows, name):
    """Rows of a raster as `(rows, width, 3)` uint8 RGB; grey becomes RGB, alpha is dropped."""
    values = read_rows(raster, rows, name)
    colors = palette(raster)
    if colors is not None:
        return colors[values[..., 0]]
    return values[..., :3] if values.shape[-1] >= 3 else values[..., :1].repeat(3, axis=-1)


def decode_colors(raster, rows, name, classes, *, ignore_unknown=False):
    """Rows of a label painted in the colours of a class table, see `ClassTable.decode`."""
    if raster.count < 3 and palette(raster) is None:
        raise ValueError(f"{name}: a label of colours is needed; this one is grey.")
    colors = read_colors(raster, rows, name)
    return classes.decode(colors, where=name, origin=(rows.start, 0), ignore_unknown=ignore_unknown)


def read_rows(raster, rows, name):
    """Rows of a raster as `(rows, width, bands)` uint8."""
    if set(raster.dtypes) != {"uint8"}:
        raise ValueError(f"{name}: 8 bits a channel are needed, found {raster.dtypes[0]}.")
    window = ((rows.start, rows.stop), (0, raster.width))
    return np.moveaxis(raster.read(window=window), 0, -1)


def _png(values, side, fill):
    import tensorflow as tf

    missing = [(0, max(side - length, 0)) for length in values.shape[:2]]
    if any(after for _, after in missing):
        values = np.pad(values, [*missing, (0, 0)], constant_values=fill)
    # The least compression: quicker, and little larger.
    return tf.io.encode_png(values, compression=1).numpy()
