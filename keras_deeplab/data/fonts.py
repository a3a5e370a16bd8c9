"""Fonts with the letters of class names, in any script."""

import functools
import logging
import pathlib
import unicodedata
from collections.abc import Iterator, Sequence

from PIL import ImageFont

SIZE = 15  # pixels
INVISIBLE = ("Cc", "Cf", "Zs")  # Unicode categories of characters that need no glyph

logger = logging.getLogger("keras_deeplab")


def drawable_names(names: Sequence[str]) -> list[str]:
    """The names; `class 3` in place of a name whose letters no font of this machine has."""
    missing = {name for name in names if _font_file(name) is None}
    if missing:
        logger.warning(
            "No font on this machine has the letters of %s: the legend shows the class index "
            "instead. Install a font of that script, for example of the Noto family.",
            ", ".join(sorted(missing)),
        )
    return [f"class {index}" if name in missing else name for index, name in enumerate(names)]


def font_for(text: str) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """A font with the letters of a name of `drawable_names`."""
    file = _font_file(text)
    return ImageFont.truetype(file, SIZE) if file else ImageFont.load_default(SIZE)


@functools.lru_cache(maxsize=512)
def _font_file(text: str) -> str | None:
    """File of a font with the letters of a text; empty for Pillow's default, `None` for none."""
    if text.isascii():
        return ""  # the letters that Pillow's default font has
    letters = {ord(letter) for letter in text if unicodedata.category(letter) not in INVISIBLE}
    return next((file for file in _font_files() if letters <= _letters(file)), None)


def _font_files() -> Iterator[str]:
    """Yields the DejaVu Sans that matplotlib has, then the fonts of this machine, upright first."""
    import matplotlib

    yield str(pathlib.Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"))
    from matplotlib.font_manager import fontManager  # lists the fonts, which may take seconds

    fonts = [font for font in fontManager.ttflist if "Last Resort" not in font.name]  # only boxes
    fonts.sort(key=lambda font: (font.style != "normal", str(font.weight) not in ("400", "normal")))
    yield from (font.fname for font in fonts)


@functools.lru_cache(maxsize=512)
def _letters(file: str) -> frozenset[int]:
    """The characters of a font, as code points; none if Pillow cannot draw with it."""
    from matplotlib.ft2font import FT2Font

    try:
        ImageFont.truetype(file, SIZE)
        return frozenset(FT2Font(file).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()
