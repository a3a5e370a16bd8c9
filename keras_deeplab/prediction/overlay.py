"""A class map as a picture: overlay with legend, palette PNG and area table."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_deeplab.data.class_table import IGNORE_INDEX

OPACITY = 0.55  # of the class colours over the picture
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


def class_colors(table):
    """`(classes, 3)` uint8: the palette of a class table, or distinct colours for one without."""
    if table.palette is not None:
        return np.array(table.palette, np.uint8)
    return np.array(
        [DISTINCT_COLORS[i % len(DISTINCT_COLORS)] for i in range(len(table))], np.uint8
    )


def class_areas(labels, num_classes):
    """Pixel count of each class in a label map, int64."""
    return np.bincount(labels.ravel(), minlength=IGNORE_INDEX + 1)[:num_classes].astype(np.int64)


def draw_overlay(image, labels, table):
    """The picture, the same under class colours, and a legend with the share of each class.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        labels: `(H, W)` uint8 class indices.
        table: `ClassTable`.

    Returns:
        `PIL.Image.Image`, RGB.
    """
    colors = class_colors(table)
    blended = Image.fromarray(
        np.rint(image * (1 - OPACITY) + colors[labels] * OPACITY).astype(np.uint8)
    )
    height, width = labels.shape
    legend_height = MARGIN + 28 * len(table)
    canvas = Image.new(
        "RGB",
        (2 * width + LEGEND_WIDTH + 4 * MARGIN, max(height, legend_height) + 2 * MARGIN),
        "white",
    )
    canvas.paste(Image.fromarray(image), (MARGIN, MARGIN))
    canvas.paste(blended, (width + 2 * MARGIN, MARGIN))
    _draw_legend(canvas, 2 * width + 3 * MARGIN, labels, table, colors)
    return canvas


def _draw_legend(canvas, left, labels, table, colors):
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=15)
    shares = class_areas(labels, len(table)) / labels.size
    for index, name in enumerate(table.names):
        top = MARGIN + 28 * index
        draw.rectangle((left, top, left + 20, top + 20), fill=tuple(colors[index].tolist()))
        draw.text((left + 30, top + 1), name, fill="black", font=font)
        draw.text(
            (left + LEGEND_WIDTH - MARGIN, top + 1),
            f"{shares[index]:.1%}",
            fill="black",
            font=font,
            anchor="ra",
        )


def palette_png(labels, table):
    """Label map as a Pillow palette image: pixel values are class indices, shown in colour."""
    mask = Image.fromarray(labels, mode="L").convert("P")
    mask.putpalette(class_colors(table).tobytes())
    return mask


def as_picture(image):
    """The first three channels, or the first alone in grey, as `(H, W, 3)` uint8.

    Args:
        image: `(H, W, C)` 0..255, uint8 or float32.
    """
    colors = image[..., :3] if image.shape[-1] >= 3 else image[..., :1].repeat(3, axis=-1)
    return np.rint(colors).astype(np.uint8)
