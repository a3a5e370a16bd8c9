"""What the values of a mask mean: class names, colours, and which of them are ignored."""

import dataclasses
import functools
import json
import pathlib

import numpy as np

IGNORE_INDEX = 255


@dataclasses.dataclass(frozen=True)
class ClassTable:
    """Classes of a dataset in the order of their indices.

    Args:
        names: Class names; index in this list = value in a label map.
        palette: One `(red, green, blue)` 0..255 per class, or `None`. With a palette, RGB and
            palette masks are decoded by colour; without one, masks hold class indices.
        ignore_colors: Colours that mean "no label" and become 255.
    """

    names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...] | None = None
    ignore_colors: tuple[tuple[int, int, int], ...] = ()

    def __post_init__(self):
        if not 1 <= len(self.names) <= IGNORE_INDEX:
            raise ValueError(f"A class table needs 1 to 255 classes, got {len(self.names)}.")
        if self.palette is not None:
            if len(self.palette) != len(self.names):
                raise ValueError(
                    f"{len(self.names)} class names but {len(self.palette)} colours: "
                    "give every class one colour."
                )
            colors = [*self.palette, *self.ignore_colors]
            twice = {color for color in colors if colors.count(color) > 1}
            if twice:
                raise ValueError(f"Colours used twice in the class table: {sorted(twice)}.")

    def __len__(self):
        return len(self.names)

    def decode(self, mask, *, where="mask", origin=(0, 0)):
        """Label map of a mask as Pillow or NumPy gives it.

        Args:
            mask: `(H, W)` integers: class indices and 255; or `(H, W, 3)` uint8 colours.
            where: What to call the mask in an error, usually its file.
            origin: Row and column of the mask in that file, where it is only a part of it.

        Returns:
            `(H, W)` uint8: class indices, and 255 for ignored pixels.

        Raises:
            ValueError: Lists the values or colours that are not in the table.
        """
        mask = np.asarray(mask)
        if mask.ndim == 3:
            return self._decode_colors(mask, where, origin)
        wrong = (mask != IGNORE_INDEX) & ((mask < 0) | (mask >= len(self)))
        if wrong.any():
            row, column = (np.argwhere(wrong)[0] + origin).tolist()
            raise ValueError(
                f"{where}: label values {np.unique(mask[wrong])[:8].tolist()} are outside the "
                f"class table (0..{len(self) - 1} and {IGNORE_INDEX} for ignored pixels); the "
                f"first at row {row}, column {column}."
            )
        return mask.astype(np.uint8)

    def _decode_colors(self, mask, where, origin):
        if self.palette is None:
            raise ValueError(
                f"{where}: an RGB mask needs a class table with colours; this one has names only."
            )
        codes = _color_codes(mask)
        labels = _color_lookup(self)[codes]
        if (labels < 0).any():
            row, column = (np.argwhere(labels < 0)[0] + origin).tolist()
            unknown, counts = np.unique(codes[labels < 0], return_counts=True)
            listing = ", ".join(
                f"({code >> 16}, {code >> 8 & 255}, {code & 255}) in {count} pixels"
                for code, count in list(zip(unknown.tolist(), counts.tolist(), strict=True))[:8]
            )
            raise ValueError(
                f"{where}: colours outside the class table: {listing}; the first at row {row}, "
                f"column {column}."
            )
        return labels.astype(np.uint8)

    def to_json(self):
        """The table as the JSON-serialisable dict that `read_class_table` reads."""
        palette = self.palette or [None] * len(self)
        return {
            "classes": [
                {"name": name, **({"rgb": list(rgb)} if rgb else {})}
                for name, rgb in zip(self.names, palette, strict=True)
            ],
            "ignore": [{"rgb": list(rgb)} for rgb in self.ignore_colors],
        }


def _color_codes(mask):
    red, green, blue = (mask[..., band].astype(np.int32) for band in range(3))
    return red << 16 | green << 8 | blue


@functools.lru_cache(maxsize=8)
def _color_lookup(table):
    """Class of each of the 2^24 colours, -1 where there is none: one look-up per pixel."""
    lookup = np.full(1 << 24, -1, np.int16)
    for color in table.ignore_colors:
        lookup[_color_codes(np.array(color))] = IGNORE_INDEX
    for index, color in enumerate(table.palette):
        lookup[_color_codes(np.array(color))] = index
    return lookup


def parse_class_table(record, *, where="class table"):
    """`ClassTable` of the dict form that `ClassTable.to_json` writes."""
    try:
        names = tuple(str(entry["name"]) for entry in record["classes"])
        palette = [entry.get("rgb") for entry in record["classes"]]
        ignore = tuple(_color(entry["rgb"]) for entry in record.get("ignore", ()))
        if all(rgb is None for rgb in palette):
            return ClassTable(names, None, ignore)
        return ClassTable(names, tuple(_color(rgb) for rgb in palette), ignore)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f'{where}: expected {{"classes": [{{"name": "road", "rgb": [110, 193, 228]}}, ...], '
            f'"ignore": [{{"rgb": [0, 0, 0]}}]}}, with "rgb" for all classes or for none '
            f"({type(error).__name__}: {error})."
        ) from error
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _color(rgb):
    color = tuple(int(value) for value in rgb)
    if len(color) != 3 or not all(0 <= value <= 255 for value in color):
        raise ValueError(f"a colour is three integers 0..255, got {rgb!r}")
    return color


def read_class_table(path):
    """Reads a class table from a JSON file.

    Args:
        path: File with `{"classes": [{"name": ..., "rgb": [r, g, b]}, ...], "ignore":
            [{"rgb": [r, g, b]}, ...]}`; `rgb` and `ignore` are optional, other keys are ignored.

    Raises:
        ValueError: When the file does not hold a class table; names the file.
    """
    try:
        record = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"Class table {path}: {error.strerror}.") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"Class table {path} is not valid JSON: {error}.") from error
    return parse_class_table(record, where=f"Class table {path}")
