"""A class map as a picture: overlay with legend, palette PNG and area table."""

import numpy as np
from PIL import Image

from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.data.drawing import (
    LEGEND_STEP,
    LEGEND_WIDTH,
    MARGIN,
    blend,
    class_colors,
    draw_legend,
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
    height, width = labels.shape
    legend_height = MARGIN + LEGEND_STEP * len(table)
    canvas = Image.new(
        "RGB",
        (2 * width + LEGEND_WIDTH + 4 * MARGIN, max(height, legend_height) + 2 * MARGIN),
        "white",
    )
    canvas.paste(Image.fromarray(image), (MARGIN, MARGIN))
    canvas.paste(Image.fromarray(blend(image, labels, table)), (width + 2 * MARGIN, MARGIN))
    shares = class_areas(labels, len(table)) / labels.size
    draw_legend(canvas, 2 * width + 3 * MARGIN, MARGIN, table, [f"{share:.1%}" for share in shares])
    return canvas


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
