"""Images with labels of any kind as a `tf.data.Dataset` of (image, label)."""

from __future__ import annotations

import typing
from collections.abc import Callable, Sequence

import numpy as np

from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.data.elements import Elements, note_elements
from keras_deeplab.data.files.bad_files import BadFiles
from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.data.files.windows import RandomWindows

if typing.TYPE_CHECKING:
    import tensorflow as tf
    from rasterio.windows import Window


class LabelProvider(typing.Protocol):
    """What knows the labels of an image: a mask file, or polygons that are burnt."""

    @property
    def path(self) -> str:
        """The file of the labels."""

    def read(self, window: Window | None) -> np.ndarray:
        """`(H, W)` uint8 class indices, 255 for ignored pixels, of a window or the whole image."""


class LabelledImage(typing.Protocol):
    """An image and its labels, of which any window can be read."""

    def read(self, window: Window | None) -> tuple[np.ndarray, np.ndarray]:
        """`(image, label)` of a window, or of the whole image."""


class FilePair(typing.NamedTuple):
    """The `LabelledImage` of an image file, which is read as it is stored.

    Attributes:
        path: The image file.
        labels: Its labels.
        form: Format to read it with.
    """

    path: str
    labels: LabelProvider
    form: ImageFormat

    def read(self, window: Window | None) -> tuple[np.ndarray, np.ndarray]:
        """As `LabelledImage`."""
        image, valid = self.form.read(self.path, window)
        label = self.labels.read(window)
        if valid is not None:
            label[~valid] = IGNORE_INDEX
        return image, label


class Part(typing.NamedTuple):
    """The part of an image that is an element of a dataset.

    Attributes:
        image: Number of the image.
        window: Its window; `None` for the whole image.
        counted: Rows and columns of the window whose labels count, others are ignored; `None` for
            all.
    """

    image: int
    window: Window | None = None
    counted: tuple[slice, slice] | None = None


def part_of(image: int, row: int, column: int, height: int, width: int) -> Part:
    """The `Part` of a window of an image."""
    from rasterio.windows import Window

    return Part(image, Window(column, row, width, height))


def labelled_dataset(
    images: Sequence[LabelledImage],
    form: ImageFormat,
    part: Callable[[int], Part],
    count: int,
    *,
    pixels: int,
    kept: bool = True,
    bad_files: BadFiles | None = None,
) -> tf.data.Dataset:
    """The dataset of parts of images.

    Args:
        images: The images.
        form: Their format.
        part: Function from the index of an element to its `Part`.
        count: Number of elements.
        pixels: Pixels of all elements, or an upper limit.
        kept: Whether elements may be kept in memory after they are read.
        bad_files: `BadFiles` for unreadable files, or `None`.
    """
    import tensorflow as tf

    def load(index: int) -> tuple[np.ndarray, np.ndarray]:
        number, window, counted = part(index)
        image, label = images[number].read(window)
        if counted is not None:
            inner = label[counted]
            label = np.full_like(label, IGNORE_INDEX)
            label[counted] = inner
        return image, label

    def load_readable(index):
        index = int(index)
        return load(index) if bad_files is None else bad_files.element(load, index, count)

    def load_tensors(index):
        image, label = tf.numpy_function(load_readable, [index], (form.dtype, tf.uint8))
        image = tf.ensure_shape(image, (None, None, form.channels))
        return image, tf.ensure_shape(label, (None, None))

    dataset = tf.data.Dataset.range(count).map(load_tensors, num_parallel_calls=tf.data.AUTOTUNE)
    pixel_bytes = form.channels * tf.as_dtype(form.dtype).size + 1
    return note_elements(dataset, Elements(pixels * pixel_bytes, load_tensors, kept))


def labelled_files(
    images: Sequence[FilePair],
    shapes: Sequence[tuple[int, int]],
    form: ImageFormat,
    *,
    windows: RandomWindows | None = None,
    bad_files: BadFiles | None = None,
) -> tf.data.Dataset:
    """The dataset of whole images, or of random windows of them.

    Args:
        images: The images.
        shapes: `(height, width)` of each.
        form: Their format.
        windows: `RandomWindows` to read parts of them; `None` for whole images.
        bad_files: `BadFiles` for unreadable files, or `None`.
    """
    if bad_files is not None:
        bad_files.require_others((image.path, image.labels.path) for image in images)
    if windows is None:
        pixels = sum(height * width for height, width in shapes)
        return labelled_dataset(images, form, Part, len(images), pixels=pixels, bad_files=bad_files)
    pixels = windows.count * windows.size**2  # none is larger
    return labelled_dataset(
        images,
        form,
        lambda index: part_of(*windows.place(index, shapes)),
        windows.count,
        pixels=pixels,
        bad_files=bad_files,
    )
