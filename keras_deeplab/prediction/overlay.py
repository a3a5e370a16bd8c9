"""Class maps as pictures: overlay with legend, palette PNG, and pixel counts per class."""

import numpy as np
from PIL import Image

from keras_deeplab.data.class_table import IGNORE_INDEX, ClassTable
from keras_deeplab.data.drawing import (
    LEGEND_STEP,
    LEGEND_WIDTH,
    MARGIN,
    blend,
    class_colors,
    draw_legend,
)


def class_areas(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Pixel count of each class in a label map, int64."""
    return np.bincount(labels.ravel(), minlength=IGNORE_INDEX + 1)[:num_classes].astype(np.int64)


def draw_overlay(image: np.ndarray, labels: np.ndarray, table: ClassTable) -> Image.Image:
    """Draws the image, the image blended with class colours, and a legend with class shares.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        labels: `(H, W)` uint8 class indices.
        table: Names and colours of the classes.

    Returns:
        RGB picture, the parts side by side.
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


def palette_png(labels: np.ndarray, table: ClassTable) -> Image.Image:
    """Label map as a Pillow palette image: the pixel values are class indices."""
    mask = Image.fromarray(labels, mode="L").convert("P")
    mask.putpalette(class_colors(table).tobytes())
    return mask


def as_picture(image: np.ndarray) -> np.ndarray:
    """The first three channels, or else the first one as grey, as `(H, W, 3)` uint8.

    Args:
        image: `(H, W, C)` 0..255, uint8 or float32.
    """
    colors = image[..., :3] if image.shape[-1] >= 3 else image[..., :1].repeat(3, axis=-1)
    return np.rint(colors).astype(np.uint8)
