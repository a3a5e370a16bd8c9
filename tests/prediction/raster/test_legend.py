"""Class names and colours next to a map, as GDAL and QGIS read them."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasters import write_raster

from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.prediction.raster.legend import write_class_names, write_qgis_style

HOSTILE = ("a \"quoted\" 'name'", "<b> & </Category>", "森林 — bâti", "]]>&amp;")
COLORS = ((1, 2, 3), (255, 255, 255), (0, 0, 0), (17, 34, 51))
CLASSES = ClassTable(HOSTILE, COLORS)
COUNTS = np.array([5, 0, 123_456_789_012, 7])


@pytest.fixture
def target(tmp_path):
    write_raster(tmp_path / "map.tif", np.zeros((8, 8), "uint8"))
    write_class_names(tmp_path / "map.tif", CLASSES, COUNTS)
    return tmp_path / "map.tif"


def attribute_table(path):
    band = ET.parse(path).getroot().find("PAMRasterBand")
    table = band.find("GDALRasterAttributeTable")
    names = [field.find("Name").text for field in table.findall("FieldDefn")]
    rows = [[cell.text for cell in row.findall("F")] for row in table.findall("Row")]
    categories = [category.text for category in band.find("CategoryNames")]
    return categories, [dict(zip(names, row, strict=True)) for row in rows]


def test_gdal_reads_names_counts_and_colours(target):
    """What it copies to another format comes from what it has read."""
    with rasterio.open(target) as raster:
        assert f"{target}.aux.xml" in raster.files
    rasterio.shutil.copy(target, target.with_name("copy.png"), driver="PNG")
    for path in (f"{target}.aux.xml", target.with_name("copy.png.aux.xml")):
        categories, rows = attribute_table(path)
        assert tuple(categories) == HOSTILE
        for index, row in enumerate(rows):
            assert row["Class"] == HOSTILE[index] and int(row["Value"]) == index
            assert float(row["Count"]) == COUNTS[index]
            assert tuple(int(row[name]) for name in ("Red", "Green", "Blue")) == COLORS[index]
        assert len(rows) == 4


def test_qgis_style(tmp_path):
    write_qgis_style(tmp_path / "map.tif", CLASSES)
    renderer = ET.parse(tmp_path / "map.qml").getroot().find("pipe/rasterrenderer")
    assert renderer.get("type") == "paletted" and renderer.get("band") == "1"
    entries = renderer.findall("colorPalette/paletteEntry")
    assert [entry.get("label") for entry in entries] == list(HOSTILE)
    assert [entry.get("value") for entry in entries] == ["0", "1", "2", "3"]
    assert [entry.get("color") for entry in entries] == ["#010203", "#ffffff", "#000000", "#112233"]
