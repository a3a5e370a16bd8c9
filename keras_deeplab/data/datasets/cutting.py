"""Tiles of an original image and its label, as PNG, without holding the whole image."""

import concurrent.futures
import os

import numpy as np

from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.data.rasters import open_raster, palette
from keras_deeplab.data.tiles import positions


def cut_scene(scene, *, size, step, decode, pad, work_dir):
    """Yields the tiles of a scene, row by row.

    Only a band of the image as high as a tile is in memory. A scene smaller than a tile gives
    one tile of its own size, or a padded one.

    Args:
        scene: `Scene`.
        size: Side of a tile in pixels; `None` for the whole image as one tile.
        step: Pixels from one tile to the next.
        decode: Function of a raster, rows and the name of its file to the label map of these rows.
        pad: Whether smaller tiles are filled up: the image with 0, the label with 255.
        work_dir: Folder for a copy of the two files when they lie in a zip.

    Yields:
        `(row, column, image, label)`: position of the tile in the scene, and two PNG files.

    Raises:
        ValueError: Names the file that is damaged or has the wrong colours or type.
    """
    size = size or max(scene.height, scene.width)
    with (
        scene.image.on_disk(work_dir) as image_path,
        scene.label.on_disk(work_dir) as label_path,
        open_raster(image_path, name=scene.image.name) as image,
        open_raster(label_path, name=scene.label.name) as label,
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        for row in positions(scene.height, size, step or size):
            rows = slice(row, min(row + size, scene.height))
            pixels = read_colors(image, rows, scene.image.name)
            labels = decode(label, rows, scene.label.name)

            def tile(column, pixels=pixels, labels=labels):
                columns = slice(column, column + size)
                return [
                    _png(part[:, columns], size if pad else 0, fill)
                    for part, fill in ((pixels, 0), (labels[..., np.newaxis], IGNORE_INDEX))
                ]

            columns = positions(scene.width, size, step or size)
            for column, encoded in zip(columns, pool.map(tile, columns), strict=True):
                yield row, column, *encoded


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
    # The least compression takes a third of the time and loses a tenth in size.
    return tf.io.encode_png(values, compression=1).numpy()
