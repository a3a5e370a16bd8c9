"""What the stored values of masks mean where they are not class indices: `--mask-values`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab.data.class_table import IGNORE_INDEX, ClassTable

IGNORE = "ignore"  # instead of a class name: pixels without a label
EXAMPLE = "0=background,255=building"
MOST_VALUES = 8  # that an error shows

MaskValues = tuple[tuple[int, str], ...]
"""`(stored value, class name)` of all values in masks; the name `"ignore"` means no label."""


def mask_values(meaning: Mapping[int, str] | Iterable[tuple[int, str]] | None) -> MaskValues:
    """`MaskValues` of a mapping or of pairs; empty for `None`.

    Raises:
        ValueError: When a value is not an integer or occurs twice.
    """
    pairs = meaning.items() if isinstance(meaning, Mapping) else meaning or ()
    values = tuple((value, str(name)) for value, name in pairs)
    for value, _ in values:
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise InputError(f"mask_values: {value!r} is not an integer.")
    return _without_twice(tuple((int(value), name) for value, name in values))


def parse_mask_values(text: str) -> MaskValues:
    """`MaskValues` of an option such as `0=background,255=building`; empty for an empty text."""
    pairs = []
    for part in text.split(",") if text else ():
        value, _, name = part.partition("=")
        try:
            pairs.append((int(value), name.strip()))
        except ValueError as error:
            raise InputError(f"{part!r} is not VALUE=CLASS, such as {EXAMPLE}.") from error
        if not name.strip():
            raise InputError(f"{part!r} names no class: write VALUE=CLASS, such as {EXAMPLE}.")
    return _without_twice(tuple(pairs))


def _without_twice(values: MaskValues) -> MaskValues:
    stored = [value for value, _ in values]
    twice = sorted({value for value in stored if stored.count(value) > 1})
    if twice:
        raise InputError(f"--mask-values: {', '.join(map(str, twice))} is given more than once.")
    return values


def named_classes(values: MaskValues) -> tuple[str, ...]:
    """The class names of mask values, in their order."""
    return tuple(dict.fromkeys(name for _, name in values if name != IGNORE))


def value_labels(values: MaskValues, classes: ClassTable) -> dict[int, int]:
    """Label of each stored value: a class index, or 255 for ignored pixels.

    Raises:
        ValueError: When a name is not a class.
    """
    labels = {name: index for index, name in enumerate(classes.names)}
    labels.setdefault(IGNORE, IGNORE_INDEX)
    unknown = [name for name in named_classes(values) if name not in labels]
    if unknown:
        raise InputError(
            f"--mask-values names {', '.join(unknown)}, but the classes are "
            f"{', '.join(classes.names)}; {IGNORE!r} stands for pixels without a label."
        )
    return {value: labels[name] for value, name in values}


def decode_values(
    mask: np.ndarray,
    labels: Mapping[int, int],
    *,
    valid: np.ndarray | None = None,
    where: str,
    origin: tuple[int, int],
) -> np.ndarray:
    """Label map `(H, W)` uint8 of stored values.

    Args:
        mask: `(H, W)` integers, or `(H, W, 3)` uint8 in grey.
        labels: Label of each stored value, see `value_labels`.
        valid: `(H, W)` bool; what other pixels become does not matter. `None` if all are valid.
        where: Name of the mask in errors.
        origin: Row and column of the mask in its file.

    Raises:
        ValueError: Lists the values without a label, or names a pixel that is not grey.
    """
    if mask.ndim == 3:
        colored = _among((mask != mask[..., :1]).any(axis=-1), valid)
        if colored.any():
            row, column = (np.argwhere(colored)[0] + origin).tolist()
            raise InputError(
                f"{where}: --mask-values is for masks of one band or in grey, but row {row}, "
                f"column {column} is {tuple(mask[colored][0].tolist())}. Give the class table "
                "colours instead."
            )
        mask = mask[..., 0]
    stored = np.array(sorted(labels))
    places = np.searchsorted(stored, mask).clip(max=len(stored) - 1)
    wrong = _among(stored[places] != mask, valid)
    if wrong.any():
        row, column = (np.argwhere(wrong)[0] + origin).tolist()
        found = np.unique(mask[wrong])[:MOST_VALUES].tolist()
        raise InputError(
            f"{where}: --mask-values does not say what {found} mean; the first at row {row}, "
            f"column {column}. Add them, with {IGNORE!r} as the class of pixels without a label."
        )
    return np.array([labels[value] for value in stored.tolist()], np.uint8)[places]


def _among(pixels: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
    return pixels if valid is None else pixels & valid


def suggested_values(found: Iterable[int], classes: ClassTable) -> str:
    """What to write in `--mask-values` for masks with these stored values.

    Names are filled in where the values are as many as the classes, or one more of which 0 is the
    pixels without a label; otherwise `CLASS` stands for them.
    """
    values = sorted(found)
    names = list(classes.names)
    if len(values) == len(names) + 1 and 0 in values:
        names.insert(values.index(0), IGNORE)
    if len(values) != len(names):
        names = ["CLASS"] * len(values)
    shown = [f"{value}={name}" for value, name in zip(values, names, strict=True)]
    return ",".join(shown[:MOST_VALUES]) + (",..." if len(shown) > MOST_VALUES else "")
