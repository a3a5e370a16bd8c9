"""Names and colours of the classes of a finished map, as its files tell them."""

from __future__ import annotations

import pathlib
import typing
import xml.etree.ElementTree as ET
from collections.abc import Sequence

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.names import unknown_name
from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.data.drawing import DISTINCT_COLORS
from keras_deeplab.data.files.rasters import palette

if typing.TYPE_CHECKING:
    from rasterio import DatasetReader

BACKGROUND = "background"


class MapClass(typing.NamedTuple):
    """A class of a map.

    Attributes:
        value: Value of its pixels.
        name: Its name.
        color: Red, green, blue.
        named: Whether the map names it.
    """

    value: int
    name: str
    color: tuple[int, int, int]
    named: bool = True


def read_classes(raster: DatasetReader) -> list[MapClass]:
    """Every class that a map can have.

    Names come from `.aux.xml`, which GDAL keeps next to a raster, and colours from the palette. A
    class without a name is called `class 3`.
    """
    names = dict(enumerate(_category_names(raster)))
    colors = palette(raster)
    classes = []
    for value in range(IGNORE_INDEX):
        name = names.get(value)
        color = DISTINCT_COLORS[value % len(DISTINCT_COLORS)]
        if colors is not None:
            color = tuple(colors[value].tolist())
        classes.append(MapClass(value, name or f"class {value}", color, bool(name)))
    return classes


def _category_names(raster: DatasetReader) -> list[str]:
    for file in raster.files:
        if file.endswith(".aux.xml") and pathlib.Path(file).is_file():
            try:
                root = ET.parse(file).getroot()
            except ET.ParseError as error:
                raise InputError(f"{file} is not valid XML: {error}.") from error
            names = root.iterfind("PAMRasterBand[@band='1']/CategoryNames/Category")
            return [name.text or "" for name in names]
    return []


def choose_classes(
    available: Sequence[MapClass], chosen: Sequence[str] | None, where: str
) -> list[MapClass]:
    """The classes of these names; all but the background if none are given.

    Raises:
        ValueError: When a name is not that of a class of the map; `where` names the map.
    """
    if chosen is None:
        return [each for each in available if each.name.strip("_ ").casefold() != BACKGROUND]
    by_name = {each.name: each for each in available}
    known = [each.name for each in available if each.named]
    for name in chosen:
        if name not in by_name and not known:
            raise InputError(
                f"{where} does not name its classes: choose them by pixel value, for example "
                f"'class 3', not {name!r}."
            )
        if name not in by_name:
            raise unknown_name(f"class of {where}", name, known)
    return [by_name[name] for name in dict.fromkeys(chosen)]


def listed_classes(classes: Sequence[MapClass], polygons: np.ndarray) -> list[MapClass]:
    """The classes that the map names or that have polygons.

    Args:
        classes: The classes.
        polygons: Number of polygons of each value.
    """
    return [each for each in classes if each.named or polygons[each.value]]
