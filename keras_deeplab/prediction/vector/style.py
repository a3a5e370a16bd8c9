"""The colours of classes for polygons in QGIS."""

from __future__ import annotations

import contextlib
import pathlib
import re
import sqlite3
from collections.abc import Sequence
from xml.sax.saxutils import quoteattr

from keras_deeplab._internal.files import StrPath, atomic_write
from keras_deeplab.prediction.vector.class_names import MapClass

OPACITY = 0.6  # so that the scene below shows
LAYER_STYLES = """
CREATE TABLE layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    f_table_catalog TEXT, f_table_schema TEXT, f_table_name TEXT, f_geometry_column TEXT,
    styleName TEXT, styleQML TEXT, styleSLD TEXT, useAsDefault BOOLEAN, description TEXT,
    owner TEXT, ui TEXT, update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
)
"""  # as QGIS makes it


def write_style(path: StrPath, classes: Sequence[MapClass]) -> None:
    """Writes the style that QGIS finds: `.qml` with the name of the vector file.

    A map of the same name has its legend in the same file: it is kept.
    """
    target = pathlib.Path(path).with_suffix(".qml")
    text = polygon_style(classes)
    if target.exists():
        legend = re.search(r"<pipe>.*</pipe>", target.read_text(encoding="utf-8"), re.DOTALL)
        text = text.replace("</qgis>", f"{legend[0] if legend else ''}</qgis>")
    with atomic_write(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def add_geopackage_style(path: StrPath, layer: str, classes: Sequence[MapClass]) -> None:
    """Stores the style within a GeoPackage, where QGIS finds it."""
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute(LAYER_STYLES)
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier) "
            "VALUES ('layer_styles', 'attributes', 'layer_styles')"
        )
        database.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, "
            "f_geometry_column, styleName, styleQML, styleSLD, useAsDefault, description, owner) "
            "SELECT '', '', table_name, column_name, 'classes', ?, '', 1, '', '' "
            "FROM gpkg_geometry_columns WHERE table_name = ?",
            (polygon_style(classes), layer),
        )


def polygon_style(classes: Sequence[MapClass]) -> str:
    """A QGIS style that colours polygons by their field `class`."""
    categories = "".join(
        f'<category value={quoteattr(each.name)} label={quoteattr(each.name)} symbol="{index}" '
        'render="true"/>'
        for index, each in enumerate(classes)
    )
    symbols = "".join(_symbol(index, each) for index, each in enumerate(classes))
    return (
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
        '<qgis><renderer-v2 type="categorizedSymbol" attr="class" symbollevels="0">'
        f"<categories>{categories}</categories><symbols>{symbols}</symbols></renderer-v2></qgis>\n"
    )


def _symbol(index: int, map_class: MapClass) -> str:
    color = ",".join(map(str, map_class.color))
    properties = {"color": f"{color},{round(OPACITY * 255)}", "outline_color": f"{color},255"}
    properties |= {"outline_width": "0.3", "outline_width_unit": "MM", "style": "solid"}
    return (
        f'<symbol type="fill" name="{index}" alpha="1"><layer class="SimpleFill" enabled="1">'
        + "".join(f'<prop k="{key}" v="{value}"/>' for key, value in properties.items())
        + "</layer></symbol>"
    )
