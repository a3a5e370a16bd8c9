"""Polygons as labels: the file, the class of each polygon, and which one is on top."""

from __future__ import annotations

import collections
import dataclasses
import difflib
import functools
import logging
import pathlib
import typing
from collections.abc import Mapping, Sequence

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.problems import listing
from keras_deeplab.data.class_table import IGNORE_INDEX, ClassTable
from keras_deeplab.data.files.polygon_files import Polygons, read_polygons
from keras_deeplab.data.files.scenes import Region

logger = logging.getLogger("keras_deeplab")

BACKGROUND = "background"  # class of the ground without polygons, in a table that has it
SHAPEFILE_PARTS = (".shx", ".dbf", ".prj", ".cpg")


@dataclasses.dataclass(frozen=True)
class PolygonLabels:
    """A vector file whose polygons are labels.

    Args:
        path: GeoPackage, GeoJSON, Shapefile, FlatGeobuf, ...
        class_field: Attribute field of the classes; `None` if all polygons are of one class.
        layer: Name of the layer; needed where several have geometries.
        burn_order: Which of overlapping polygons is on top: class names from bottom to top, below
            which the other classes are; or the name of a field of numbers, the highest on top. By
            default the later one in the file.
        all_touched: Whether all pixels that a polygon touches belong to it, not only those whose
            centre is in it.
        area: Vector file of the labelled ground; outside of its polygons labels are ignored.
            `None` if all ground of the scenes is labelled.
        ignore_unknown: Whether ground of classes that the class table does not have is ignored,
            instead of an error.
    """

    path: pathlib.Path
    class_field: str | None = None
    layer: str | None = None
    burn_order: tuple[str, ...] = ()
    all_touched: bool = False
    area: pathlib.Path | None = None
    ignore_unknown: bool = False

    def files(self) -> list[str]:
        """The files that are read, with all parts of Shapefiles and file geodatabases."""
        paths = [self.path] if self.area is None else [self.path, self.area]
        return [str(part) for path in paths for part in _parts(path)]

    def default_classes(self, region: Region) -> ClassTable:
        """Class 0 is `background`, then the values of the field in sorted order.

        Without a field, the other class has the name of the layer or of the file.
        """
        if self.class_field is None:
            return ClassTable((BACKGROUND, self.layer or self.path.stem))
        values = self._read(region, (self.class_field,)).fields[self.class_field]
        known = {text for text in map(class_text, values) if text is not None}
        known -= {BACKGROUND, str(IGNORE_INDEX)}
        if not known:
            raise InputError(
                f"{self.path}: no polygon has a class in field {self.class_field!r}: all values "
                f"are empty, {IGNORE_INDEX} or {BACKGROUND!r}."
            )
        numbers = values.dtype.kind in "iuf"
        return ClassTable((BACKGROUND, *sorted(known, key=float if numbers else None)))

    def read(self, region: Region, classes: ClassTable) -> tuple[Polygons, list[str | None]]:
        """The polygons from bottom to top, and the value of the class field of each.

        Args:
            region: `Region` of the scenes, far from which geometries are empty.
            classes: Classes of the polygons.

        Raises:
            ValueError: When `burn_order` names neither classes nor a field of numbers; and what
                `read_polygons` raises.
        """
        field = self._order_field(classes)
        fields = tuple(dict.fromkeys(name for name in (self.class_field, field) if name))
        found = self._read(region, fields)
        if self.class_field is None:
            texts: list[str | None] = [self._only_class(classes)] * len(found.numbers)
        else:
            texts = [class_text(value) for value in found.fields[self.class_field]]
        if field is not None:
            heights = self._numbers(found, field)
        elif self.burn_order:
            order = [classes.names.index(name) for name in self.burn_order]
            found_classes = [_index(text, classes) for text in texts]
            heights = np.array([order.index(c) if c in order else -1 for c in found_classes])
        else:
            return found, texts
        upwards = np.argsort(heights, kind="stable")
        return found.where(upwards), [texts[index] for index in upwards]

    def read_area(self, region: Region) -> Polygons | None:
        """The polygons of the labelled ground, if there are any."""
        if self.area is None:
            return None
        crs, tolerance, bounds = region
        return read_polygons(self.area, crs, tolerance=tolerance, near=bounds)

    def indices(self, texts: Sequence[str | None], classes: ClassTable) -> Mapping[str | None, int]:
        """The label of each value of the class field: a class index, or 255 for ignored ground.

        A value is the name of a class or its index; 255 and values that are null or empty mean
        ignored ground.

        Raises:
            ValueError: Lists the values that are not classes, unless they are to be ignored.
        """
        counts = collections.Counter(texts)
        found = {text: _index(text, classes) for text in counts}
        where = f"{self.path}, field {self.class_field!r}"
        ignored = {None: "without a value", str(IGNORE_INDEX): f"of value {IGNORE_INDEX}"}
        for text, what in ignored.items():
            if text in found and found[text] in (None, IGNORE_INDEX):
                logger.warning(
                    "%s: the ground of %s %s is ignored.", where, _polygons(counts[text]), what
                )
        unknown = sorted(text for text, index in found.items() if index is None and text)
        if unknown:
            names = ", ".join(classes.names)
            lines = listing(
                f"{text!r} in {_polygons(counts[text])}{_suggestion(text, classes)}"
                for text in unknown
            )
            if not self.ignore_unknown:
                raise InputError(
                    f"{where}: values that are not classes ({names}):{lines}\nCorrect them, add "
                    "them to the class table, or ignore their ground with ignore_unknown=True or "
                    "--ignore-unknown."
                )
            logger.warning(
                "%s: values that are not classes; their ground is ignored:%s", where, lines
            )
        return {text: IGNORE_INDEX if index is None else index for text, index in found.items()}

    def fill(self, classes: ClassTable) -> int:
        """The label of ground without polygons: that of class `background`, else 255."""
        names = classes.names
        return names.index(BACKGROUND) if BACKGROUND in names else IGNORE_INDEX

    def _read(self, region: Region, fields: tuple[str, ...]) -> Polygons:
        modified = max((part.stat().st_mtime_ns for part in _parts(self.path)), default=0)
        return _read_once(self.path, modified, region, self.layer, fields)

    def _order_field(self, classes: ClassTable) -> str | None:
        """The field of numbers that `burn_order` names, if it does not name classes."""
        if len(self.burn_order) == 1 and self.burn_order[0] not in classes.names:
            return self.burn_order[0]
        wrong = [name for name in self.burn_order if name not in classes.names]
        if wrong or len(set(self.burn_order)) < len(self.burn_order):
            raise InputError(
                f"--burn-order {','.join(self.burn_order)}: expected different classes of "
                f"{', '.join(classes.names)}, from bottom to top, or one field of numbers."
            )
        return None

    def _numbers(self, found: Polygons, field: str) -> np.ndarray:
        values = found.fields[field]
        if values.dtype.kind not in "iuf":
            raise InputError(
                f"{self.path}: --burn-order needs class names or a field of numbers; the values of "
                f"{field!r} are not numbers."
            )
        if not np.isfinite(values).all():
            wrong = found.listed(~np.isfinite(values))
            raise InputError(
                f"{self.path}: {wrong} have no number in the field {field!r} of --burn-order."
            )
        return values

    def _only_class(self, classes: ClassTable) -> str:
        others = [name for name in classes.names if name != BACKGROUND]
        if len(others) != 1:
            raise InputError(
                f"{self.path}: which polygon is of which class? There are {len(others)} classes "
                f"({', '.join(others)}): name the field that says it, with class_field=... or "
                "--class-field."
            )
        return others[0]


@functools.lru_cache(2)  # of training and validation
def _read_once(
    path: pathlib.Path,
    modified: int,
    region: Region,
    layer: str | None,
    fields: tuple[str, ...],
) -> Polygons:
    crs, tolerance, bounds = region
    return read_polygons(path, crs, tolerance=tolerance, layer=layer, fields=fields, near=bounds)


def _parts(path: pathlib.Path) -> list[pathlib.Path]:
    """The files of a vector file."""
    if path.is_dir():
        return sorted(part for part in path.rglob("*") if part.is_file())
    suffixes = SHAPEFILE_PARTS if path.suffix.lower() == ".shp" else ()
    parts = [path, *(path.with_suffix(suffix) for suffix in suffixes)]
    return [part for part in parts if part.exists()]


def class_text(value: typing.Any) -> str | None:
    """The value of an attribute field as text; `None` for null, NaN and blank text."""
    if value is None or value != value:
        return None
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        value = int(value)  # fields of integers with nulls are read as floats
    return str(value).strip() or None


def _index(text: str | None, classes: ClassTable) -> int | None:
    """The class that a value names; 255 for ignored ground, `None` for an unknown class."""
    if text in classes.names:
        return classes.names.index(text)
    if text is not None and text.isdecimal():
        index = int(text)
        return index if index < len(classes) or index == IGNORE_INDEX else None
    return None


def _suggestion(text: str, classes: ClassTable) -> str:
    lower = {name.lower(): name for name in classes.names}
    near = difflib.get_close_matches(text.lower(), lower, 1)
    return f" (did you mean {lower[near[0]]!r}?)" if near else ""


def _polygons(count: int) -> str:
    return "1 polygon" if count == 1 else f"{count:,} polygons"
