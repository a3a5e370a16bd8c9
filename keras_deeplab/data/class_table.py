"""Class tables: class names, colours and ignored colours of the values in a mask."""

import dataclasses
import functools
import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath

IGNORE_INDEX = 255
# Words in the keys that class tables of other tools have instead of "rgb" and the position.
COLOR_KEYS = {"color", "colour", "palette", "rgb"}
INDEX_KEYS = {"value", "id"}


@dataclasses.dataclass(frozen=True)
class ClassTable:
    """Classes of a dataset in the order of their indices.

    Args:
        names: Class names; the index in this tuple is the value in a label map.
        palette: One `(red, green, blue)` 0..255 per class, or `None`. With a palette, RGB and
            palette masks are decoded by colour, and grey masks where colours of the table are grey;
            without one, masks contain class indices.
        ignore_colors: Colours that mean "no label" and become 255.
    """

    names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...] | None = None
    ignore_colors: tuple[tuple[int, int, int], ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.names) <= IGNORE_INDEX:
            raise InputError(f"A class table needs 1 to 255 classes, got {len(self.names)}.")
        if self.palette is not None:
            if len(self.palette) != len(self.names):
                raise InputError(
                    f"{len(self.names)} class names but {len(self.palette)} colours: "
                    "give every class one colour."
                )
            colors = [*self.palette, *self.ignore_colors]
            twice = {color for color in colors if colors.count(color) > 1}
            if twice:
                raise InputError(f"Colours used twice in the class table: {sorted(twice)}.")

    def __len__(self) -> int:
        return len(self.names)

    def decode(
        self,
        mask: np.ndarray,
        *,
        where: str = "mask",
        origin: tuple[int, int] = (0, 0),
        ignore_unknown: bool = False,
    ) -> np.ndarray:
        """Converts a mask read by Pillow or rasterio to a label map.

        Args:
            mask: `(H, W)` integers: class indices and 255; or `(H, W, 3)` uint8 colours.
            where: Name of the mask in errors, usually its file.
            origin: Row and column of the mask in that file, if it is only a part of it.
            ignore_unknown: Whether colours outside the table become 255, for labels with known
                errors.

        Returns:
            `(H, W)` uint8: class indices, and 255 for ignored pixels.

        Raises:
            ValueError: Lists the values or colours that are not in the table.
        """
        mask = np.asarray(mask)
        if mask.ndim == 3:
            labels = self._look_up(mask, where)
            if not ignore_unknown:
                _refuse_unknown(mask, labels, where, origin)
            return np.where(labels < 0, IGNORE_INDEX, labels).astype(np.uint8)
        wrong = (mask != IGNORE_INDEX) & ((mask < 0) | (mask >= len(self)))
        if wrong.any():
            row, column = (np.argwhere(wrong)[0] + origin).tolist()
            raise InputError(
                f"{where}: label values {np.unique(mask[wrong])[:8].tolist()} are outside the "
                f"class table (0..{len(self) - 1} and {IGNORE_INDEX} for ignored pixels); the "
                f"first at row {row}, column {column}."
            )
        return mask.astype(np.uint8)

    def _look_up(self, mask: np.ndarray, where: str) -> np.ndarray:
        if self.palette is None:
            raise InputError(
                f"{where}: an RGB mask needs a class table with colours; this one has only names."
            )
        return _color_lookup(self)[_color_codes(mask)]

    def to_json(self) -> dict[str, Any]:
        """The table as the JSON-serialisable dict that `parse_class_table` reads."""
        palette = self.palette or [None] * len(self)
        return {
            "classes": [
                {"name": name, **({"rgb": list(rgb)} if rgb else {})}
                for name, rgb in zip(self.names, palette, strict=True)
            ],
            "ignore": [{"rgb": list(rgb)} for rgb in self.ignore_colors],
        }


def _refuse_unknown(
    mask: np.ndarray, labels: np.ndarray, where: str, origin: tuple[int, int]
) -> None:
    unknown = labels < 0
    if unknown.any():
        row, column = (np.argwhere(unknown)[0] + origin).tolist()
        colors, counts = np.unique(mask[unknown], axis=0, return_counts=True)
        listing = ", ".join(
            f"{tuple(color)} in {count} pixels"
            for color, count in zip(colors[:8].tolist(), counts[:8].tolist(), strict=True)
        )
        raise InputError(
            f"{where}: colours outside the class table: {listing}; the first at row {row}, "
            f"column {column}."
        )


def _color_codes(mask: np.ndarray) -> np.ndarray:
    red, green, blue = (mask[..., band].astype(np.int32) for band in range(3))
    return red << 16 | green << 8 | blue


@functools.lru_cache(maxsize=8)
def _color_lookup(table: ClassTable) -> np.ndarray:
    """Class of each of the 2^24 colours, -1 for unknown ones: one lookup per pixel."""
    lookup = np.full(1 << 24, -1, np.int16)
    for color in table.ignore_colors:
        lookup[_color_codes(np.array(color))] = IGNORE_INDEX
    for index, color in enumerate(table.palette or ()):
        lookup[_color_codes(np.array(color))] = index
    return lookup


def parse_class_table(record: Mapping[str, Any], *, where: str = "class table") -> ClassTable:
    """Parses the dict that `ClassTable.to_json` returns; `where` names it in errors."""
    try:
        names = tuple(str(entry["name"]) for entry in record["classes"])
        for index, entry in enumerate(record["classes"]):
            _refuse_other_keys(entry, index)
        palette = [entry.get("rgb") for entry in record["classes"]]
        ignore = tuple(_color(entry["rgb"]) for entry in record.get("ignore", ()))
        if all(rgb is None for rgb in palette):
            return ClassTable(names, None, ignore)
        return ClassTable(names, tuple(_color(rgb) for rgb in palette), ignore)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f'{where}: expected {{"classes": [{{"name": "road", "rgb": [110, 193, 228]}}, ...], '
            f'"ignore": [{{"rgb": [0, 0, 0]}}]}}, with "rgb" for all classes or for none '
            f"({type(error).__name__}: {error})."
        ) from error
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def _refuse_other_keys(entry: Mapping[str, Any], index: int) -> None:
    """Raises a `ValueError` if a class has its colour or value under a key that is not read."""
    if "rgb" in entry:
        return
    for key, value in entry.items():
        words = set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key).lower()))
        if words & COLOR_KEYS:
            raise InputError(f'class {entry["name"]!r} has the key {key!r}: colours need "rgb".')
        if words & INDEX_KEYS and str(value) != str(index):
            raise InputError(
                f"class {entry['name']!r} has {key!r} {value!r}, but it is class {index}: the "
                'value of a class in masks is its position in "classes", from 0.'
            )


def _color(rgb: Any) -> tuple[int, int, int]:
    color = tuple(int(value) for value in rgb)
    if len(color) != 3 or not all(0 <= value <= 255 for value in color):
        raise InputError(f"a colour is three integers 0..255, got {rgb!r}")
    return color


def read_class_table(path: StrPath) -> ClassTable:
    """Reads a class table from a JSON file.

    Args:
        path: File with `{"classes": [{"name": ..., "rgb": [r, g, b]}, ...], "ignore":
            [{"rgb": [r, g, b]}, ...]}`; `rgb` and `ignore` are optional. Other keys are ignored,
            unless a class without `rgb` has its colour or another value there (`color`, `value`).

    Raises:
        ValueError: When the file is not a class table; names the file.
    """
    try:
        record = json.loads(pathlib.Path(path).read_bytes())  # with or without byte order mark
    except OSError as error:
        raise InputError(f"Class table {path}: {error.strerror}.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"Class table {path} is not valid JSON: {error}.") from error
    return parse_class_table(record, where=f"Class table {path}")
