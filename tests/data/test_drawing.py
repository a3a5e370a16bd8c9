"""Class names of any script in the legend of a drawn label map."""

import logging

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import fontManager
from PIL import Image

from keras_deeplab.data import fonts
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.drawing import LEGEND_WIDTH, draw_legend

UNKNOWN = "\U0010fffd"  # for private use: no font has it


def legend(*names):
    """Pixels of a legend."""
    canvas = Image.new("RGB", (LEGEND_WIDTH, 30 * len(names)), "white")
    draw_legend(canvas, 0, 0, ClassTable(names), ["1.0%"] * len(names))
    return np.asarray(canvas)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Bäume", "Böume"),
        ("łąka", "łęka"),
        ("γηλ", "ψδω"),
        ("вод", "лес"),
        ("مبن", "طرق"),
        ("בני", "מים"),
    ],
)
def test_letters_are_not_boxes(name, other, caplog):
    """Boxes of missing letters would be equal for names of equal lengths."""
    assert (legend(name) != legend(other)).any()
    np.testing.assert_array_equal(legend("road", name)[:26], legend("road", "road")[:26])
    assert not caplog.records


def test_a_name_without_a_font_is_its_index(caplog):
    with caplog.at_level(logging.WARNING, "keras_deeplab"):
        found = legend("road", f"roof {UNKNOWN}")
    np.testing.assert_array_equal(found, legend("road", "class 1"))
    (message,) = (record.getMessage() for record in caplog.records)
    assert message.startswith(f"No font on this machine has the letters of roof {UNKNOWN}: ")


@pytest.fixture
def square_font(tmp_path):
    """A font on this machine that alone has a letter: a square."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for point in ((0, 1000), (1000, 1000), (1000, 0)):
        pen.lineTo(point)
    pen.closePath()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "square"])
    builder.setupCharacterMap({ord(UNKNOWN): "square"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "square": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (1000, 0), "square": (1000, 0)})
    builder.setupHorizontalHeader(ascent=1000, descent=0)
    builder.setupNameTable({"familyName": "Square", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(tmp_path / "square.ttf")
    fontManager.addfont(tmp_path / "square.ttf")
    fonts._font_file.cache_clear()
    yield
    fontManager.ttflist = [font for font in fontManager.ttflist if font.name != "Square"]
    fonts._font_file.cache_clear()


def test_fonts_of_the_machine_are_found(square_font, caplog):
    black = (legend(UNKNOWN)[:, 30:60] == 0).all(axis=-1)
    assert black.sum() == fonts.SIZE**2
    assert black.any(0).sum() == black.any(1).sum() == fonts.SIZE
    assert not caplog.records
