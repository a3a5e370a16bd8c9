"""Class names and colours of a map for other software: GDAL's attribute table, QGIS's legend."""

from __future__ import annotations

import pathlib
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from keras_deeplab._internal.files import StrPath, atomic_write
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.drawing import class_colors


def write_class_names(target: StrPath, classes: ClassTable, pixels: np.ndarray) -> None:
    """Writes `<target>.aux.xml`, from which GDAL reads class names and counts."""
    names = "".join(f"<Category>{escape(name)}</Category>" for name in classes.names)
    columns = [("Value", 0, 5), ("Count", 1, 1), ("Class", 2, 2)]  # name, type, usage, as in GDAL
    columns += [(name, 0, usage) for name, usage in (("Red", 6), ("Green", 7), ("Blue", 8))]
    definitions = "".join(
        f'<FieldDefn index="{index}"><Name>{name}</Name><Type>{kind}</Type><Usage>{usage}</Usage>'
        "</FieldDefn>"
        for index, (name, kind, usage) in enumerate(columns)
    )
    rows = "".join(
        f'<Row index="{index}">'
        + "".join(f"<F>{escape(str(value))}</F>" for value in (index, count, name, *color))
        + "</Row>"
        for index, (name, count, color) in enumerate(
            zip(classes.names, pixels.tolist(), class_colors(classes).tolist(), strict=True)
        )
    )
    text = (
        f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>{names}</CategoryNames>'
        f'<GDALRasterAttributeTable tableType="thematic">{definitions}{rows}'
        "</GDALRasterAttributeTable></PAMRasterBand></PAMDataset>\n"
    )
    with atomic_write(f"{target}.aux.xml") as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_qgis_style(target: StrPath, classes: ClassTable) -> None:
    """Writes the legend that QGIS shows at once: `.qml` with the name of the map."""
    entries = "".join(
        f'<paletteEntry value="{index}" color="#{bytes(color).hex()}" alpha="255" '
        f"label={quoteattr(name)}/>"
        for index, (name, color) in enumerate(
            zip(classes.names, class_colors(classes).tolist(), strict=True)
        )
    )
    text = (
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
        '<qgis><pipe><rasterrenderer type="paletted" band="1" opacity="1"><colorPalette>'
        f"{entries}</colorPalette></rasterrenderer></pipe></qgis>\n"
    )
    with atomic_write(pathlib.Path(target).with_suffix(".qml")) as temporary:
        temporary.write_text(text, encoding="utf-8")
