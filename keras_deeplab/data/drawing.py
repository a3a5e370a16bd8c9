"""Drawing label maps: colours, overlays, legend, contact sheet."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from keras_deeplab.data.class_table import IGNORE_INDEX, ClassTable
from keras_deeplab.data.fonts import drawable_names, font_for

OPACITY = 0.55  # of the class colours over the image
IGNORED_COLOR = (128, 128, 128)
DISTINCT_COLORS = (  # for class tables without colours: matplotlib's tab10
    (31, 119, 180),
    (255, 127, 14),
    (44, 160, 44),
    (214, 39, 40),
    (148, 103, 189),
    (140, 86, 75),
    (227, 119, 194),
    (127, 127, 127),
    (188, 189, 34),
    (23, 190, 207),
)
MARGIN = 12  # pixels
LEGEND_WIDTH = 230
LEGEND_STEP = 28
THUMBNAIL = 256  # pixels
SHEET_COLUMNS = 2  # samples per row


def class_colors(table: ClassTable) -> np.ndarray:
    """`(classes, 3)` uint8: the palette of a class table, or distinct colours if it has none."""
    if table.palette is not None:
        return np.array(table.palette, np.uint8)
    return np.array(
        [DISTINCT_COLORS[i % len(DISTINCT_COLORS)] for i in range(len(table))], np.uint8
    )


def paint(labels: np.ndarray, table: ClassTable) -> np.ndarray:
    """`(H, W, 3)` uint8: a label map in class colours, ignored pixels in grey."""
    lookup = np.full((IGNORE_INDEX + 1, 3), IGNORED_COLOR, np.uint8)
    lookup[: len(table)] = class_colors(table)
    return lookup[labels]


def blend(image: np.ndarray, labels: np.ndarray, table: ClassTable) -> np.ndarray:
    """`(H, W, 3)` uint8: an image with its class colours on top; ignored pixels are unchanged."""
    mixed = np.rint(image * (1 - OPACITY) + paint(labels, table) * OPACITY).astype(np.uint8)
    return np.where(labels[..., np.newaxis] == IGNORE_INDEX, image, mixed).astype(np.uint8)


def draw_legend(
    canvas: Image.Image, left: int, top: int, table: ClassTable, values: Sequence[str]
) -> None:
    """Draws a legend: one line per class with colour, name and value.

    Args:
        canvas: RGB image to draw on.
        left: First column.
        top: First row.
        table: The classes.
        values: One string per class, right-aligned.
    """
    draw = ImageDraw.Draw(canvas)
    names = drawable_names(table.names)
    right = left + LEGEND_WIDTH - MARGIN
    colors = class_colors(table).tolist()
    for name, color, value in zip(names, colors, values, strict=True):
        draw.rectangle((left, top, left + 20, top + 20), fill=tuple(color), outline="gray")
        draw.text((left + 30, top + 1), name, fill="black", font=font_for(name))
        draw.text((right, top + 1), value, fill="black", font=font_for(value), anchor="ra")
        top += LEGEND_STEP


def contact_sheet(
    samples: Sequence[tuple[np.ndarray, np.ndarray]], table: ClassTable, values: Sequence[str]
) -> Image.Image:
    """RGB picture of samples as image, label and overlay, to check whether the labels match.

    Args:
        samples: `(image, label)` pairs: `(H, W, 3)` and `(H, W)` uint8. Drawn without smoothing,
            which would mix class colours.
        table: The classes.
        values: One string per class for the legend.
    """
    cell = THUMBNAIL + MARGIN
    rows = -(-len(samples) // SHEET_COLUMNS)
    height = max(rows * cell, len(table) * LEGEND_STEP) + MARGIN
    sheet = Image.new("RGB", (SHEET_COLUMNS * (3 * cell + MARGIN) + LEGEND_WIDTH, height), "white")
    for index, (image, label) in enumerate(samples):
        left = MARGIN + (index % SHEET_COLUMNS) * (3 * cell + MARGIN)
        top = MARGIN + index // SHEET_COLUMNS * cell
        for part in (image, paint(label, table), blend(image, label, table)):
            thumbnail = Image.fromarray(part)
            thumbnail.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.NEAREST)
            sheet.paste(thumbnail, (left, top))
            left += cell
    draw_legend(sheet, sheet.width - LEGEND_WIDTH, MARGIN, table, values)
    return sheet


def stack_pictures(pictures: Sequence[tuple[np.ndarray, str]]) -> Image.Image:
    """RGB picture of others, one below the other, each with a line of text above it.

    Args:
        pictures: `(H, W, 3)` uint8, and the text.
    """
    width = max(image.shape[1] for image, _ in pictures) + 2 * MARGIN
    height = sum(image.shape[0] + LEGEND_STEP for image, _ in pictures) + MARGIN
    canvas = Image.new("RGB", (width, height), "white")
    draw, top = ImageDraw.Draw(canvas), 0
    for image, text in pictures:
        (name,) = drawable_names([text])
        draw.text((MARGIN, top + MARGIN // 2), name, fill="black", font=font_for(name))
        canvas.paste(Image.fromarray(image), (MARGIN, top + LEGEND_STEP))
        top += image.shape[0] + LEGEND_STEP
    return canvas
