"""What is known of the elements of a dataset besides what `tf.data` says."""

from __future__ import annotations

import dataclasses
import math
import typing
import weakref
from collections.abc import Callable

from keras_deeplab._internal.errors import InputError

if typing.TYPE_CHECKING:
    import tensorflow as tf

IMAGE_DTYPES = ("uint8", "float32", "float64")
NO_COUNT = {  # by the cardinality
    -1: "The dataset is endless: leave out repeat(), training repeats it.",
    -2: "The number of elements of the dataset is unknown: give it with "
    "dataset.apply(tf.data.experimental.assert_cardinality(count)).",
}


@dataclasses.dataclass(frozen=True)
class Elements:
    """The `(image, label)` elements of a dataset.

    Args:
        nbytes: Bytes of all of them, decoded.
        load: Function of an index, an int64 tensor, that returns the element; `None` where they
            can only be read one after the other.
        kept: Whether they may be kept in memory; not if each is used about once.
    """

    nbytes: int
    load: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]] | None = None
    kept: bool = True


# A dataset that a user derives from one of these is another one, of which nothing is known.
_KNOWN: weakref.WeakKeyDictionary[tf.data.Dataset, Elements] = weakref.WeakKeyDictionary()


def note_elements(dataset: tf.data.Dataset, elements: Elements) -> tf.data.Dataset:
    """Notes what is known of the elements of a dataset, and returns the dataset."""
    _KNOWN[dataset] = elements
    return dataset


def check_pairs(dataset: tf.data.Dataset) -> None:
    """Raises a `ValueError` unless the elements are images of known channels and their labels."""
    spec = dataset.element_spec
    shapes: list[typing.Any]
    shapes = [getattr(part, "shape", None) for part in spec] if isinstance(spec, tuple) else []
    ranks = [None if shape is None else shape.rank for shape in shapes]
    if ranks not in ([3, 2], [3, None]) or shapes[0][-1] is None:
        raise InputError(
            "The elements of the dataset must be (image, label) of shapes (height, width, "
            "channels) and (height, width), unbatched and with a known number of channels; they "
            f"are {spec}."
        )
    image, label = (part.dtype for part in spec)
    if image.name not in IMAGE_DTYPES or not label.is_integer:
        raise InputError(
            f"Images must be {' or '.join(IMAGE_DTYPES)} in 0..255 and labels integers; they are "
            f"{image.name} and {label.name}. Scale other integers to 0..255 as float32: their "
            "higher values would turn white."
        )


def elements_of(dataset: tf.data.Dataset) -> Elements:
    """What is known of the elements of a finite dataset.

    The size is that which was noted, or follows from the static shapes. Otherwise it is estimated
    from the first element, which is read.

    Raises:
        ValueError: When the number of elements is unknown or 0.
    """
    count = int(dataset.cardinality())
    if count <= 0:
        raise InputError(NO_COUNT.get(count, "The dataset is empty."))
    if dataset in _KNOWN:
        return _KNOWN[dataset]
    if not all(part.shape.is_fully_defined() for part in dataset.element_spec):
        parts = [(part.dtype, part.shape) for part in next(iter(dataset.take(1)))]
    else:
        parts = [(part.dtype, part.shape) for part in dataset.element_spec]
    return Elements(count * sum(dtype.size * math.prod(shape) for dtype, shape in parts))
