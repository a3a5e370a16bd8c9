"""Grey values of masks: class indices, or colours (v, v, v) of the class table.

A mask of one band has indices if no colour of the class table is grey, and colours if all classes
have grey ones. If only some have, or only ignored colours, then a file whose values are all among
these greys has colours, and any other has indices.
"""

import functools
from collections.abc import Iterable, Mapping

import numpy as np
from rasterio import DatasetReader

from keras_deeplab._internal.errors import InputError
from keras_deeplab.data.class_table import IGNORE_INDEX, ClassTable

GREYS = np.arange(IGNORE_INDEX + 1, dtype=np.uint8)[:, np.newaxis].repeat(3, axis=1)

Greys = Mapping[int, int]
"""Label of each stored value that is a grey of the class table."""


def grey_labels(raster: DatasetReader, classes: ClassTable) -> Greys:
    """Labels of the stored values whose colours are in a class table; empty if it has no greys."""
    bits = raster.tags(1, ns="IMAGE_STRUCTURE").get("NBITS")
    return _grey_labels(classes, {"1": 255, "2": 85, "4": 17}.get(bits, 1))  # 255 is white


@functools.lru_cache(maxsize=32)
def _grey_labels(classes: ClassTable, step: int) -> Greys:
    labels = dict.fromkeys(classes.ignore_colors, IGNORE_INDEX)
    labels.update((color, index) for index, color in enumerate(classes.palette or ()))
    return {
        color[0] // step: label
        for color, label in labels.items()
        if _is_grey(color) and color[0] % step == 0
    }


def has_only_greys(classes: ClassTable) -> bool:
    """Whether the colours of all classes are grey, so that a grey mask must have colours."""
    return all(map(_is_grey, classes.palette or ()))


def _is_grey(color: tuple[int, int, int]) -> bool:
    return len(set(color)) == 1


def are_greys(values: np.ndarray, greys: Greys) -> bool:
    """Whether all values are greys of the class table."""
    return bool(np.isin(values, list(greys)).all())


def refuse_ambiguous(found: Iterable[int], greys: Greys, classes: ClassTable, where: str) -> None:
    """Raises a `ValueError` if greys are also class indices, and of other classes."""
    found = sorted(found)
    indices = all(value < len(classes) or value == IGNORE_INDEX for value in found)
    if indices and any(greys[value] != value for value in found):
        raise InputError(
            f"{where}: its grey values {found} can be class indices or colours of the class table. "
            "For indices, use a class table without colours, or save the mask with the colours of "
            "the table as its palette; for colours, save it as RGB."
        )


def decode_greys(
    values: np.ndarray, greys: Greys, *, where: str, origin: tuple[int, int]
) -> np.ndarray:
    """Label map `(H, W)` uint8 of grey values, see `ClassTable.decode`."""
    wrong = ~np.isin(values, list(greys))
    if wrong.any():
        row, column = (np.argwhere(wrong)[0] + origin).tolist()
        raise InputError(
            f"{where}: grey values {np.unique(values[wrong])[:8].tolist()} are not colours of the "
            f"class table, whose greys are {sorted(greys)}; the first at row {row}, column "
            f"{column}. For class indices, use a class table without colours."
        )
    lookup = np.zeros(IGNORE_INDEX + 1, np.uint8)
    lookup[list(greys)] = list(greys.values())
    return lookup[values]
