"""A class map over its image, as a picture with legend; and the pixels of each class."""

import pathlib

import numpy as np
from PIL import Image

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab.data.class_table import IGNORE_INDEX, ClassTable
from keras_deeplab.data.drawing import (
    LEGEND_STEP,
    LEGEND_WIDTH,
    MARGIN,
    blend,
    draw_legend,
)


def check_picture(path: StrPath) -> None:
    """Raises a `ValueError` for a file format that pictures cannot be written in."""
    suffix = pathlib.Path(path).suffix.lower()
    if Image.registered_extensions().get(suffix) not in Image.SAVE:
        raise InputError(
            f"{path}: pictures cannot be written as {suffix or 'a file without suffix'}."
        )


def class_areas(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Pixel count of each class in a label map, int64."""
    return np.bincount(labels.ravel(), minlength=IGNORE_INDEX + 1)[:num_classes].astype(np.int64)


def overlay(image: np.ndarray, labels: np.ndarray, classes: ClassTable) -> Image.Image:
    """Draws the image, the image blended with class colours, and a legend with class shares.

    Args:
        image: `(H, W, C)` 0..255, uint8 or float32. The first three channels are shown as RGB, or
            else the first one as grey.
        labels: `(H, W)` class indices; pixels of 255 have no class, stay as they are and do not
            count in the shares.
        classes: `ClassTable`, for example `model.metadata.classes`.

    Returns:
        RGB picture, the parts side by side.

    Raises:
        ValueError: When image and labels differ in size, or a label is not in the table.

    Example:

    >>> labels = kd.predict(model, image).argmax(-1)
    >>> kd.overlay(image, labels, model.metadata.classes).save("overlay.png")
    """
    image, labels = as_picture(np.asarray(image)), np.asarray(labels)
    if image.shape[:2] != labels.shape:
        raise InputError(
            f"Image and labels differ in size (height, width): {image.shape[:2]}, {labels.shape}."
        )
    unknown = np.unique(labels[(labels >= len(classes)) & (labels != IGNORE_INDEX)])
    if unknown.size:
        raise InputError(
            f"Label values {unknown[:8].tolist()} are outside the class table of {len(classes)} "
            "classes."
        )
    labels = labels.astype(np.uint8)
    height, width = labels.shape
    legend_height = MARGIN + LEGEND_STEP * len(classes)
    canvas = Image.new(
        "RGB",
        (2 * width + LEGEND_WIDTH + 4 * MARGIN, max(height, legend_height) + 2 * MARGIN),
        "white",
    )
    canvas.paste(Image.fromarray(image), (MARGIN, MARGIN))
    canvas.paste(Image.fromarray(blend(image, labels, classes)), (width + 2 * MARGIN, MARGIN))
    areas = class_areas(labels, len(classes))
    shares = [f"{area / max(areas.sum(), 1):.1%}" for area in areas]
    draw_legend(canvas, 2 * width + 3 * MARGIN, MARGIN, classes, shares)
    return canvas


def as_picture(image: np.ndarray) -> np.ndarray:
    """The first three channels, or else the first one as grey, as `(H, W, 3)` uint8.

    Args:
        image: `(H, W, C)` 0..255, uint8 or float32.
    """
    colors = image[..., :3] if image.shape[-1] >= 3 else image[..., :1].repeat(3, axis=-1)
    return np.rint(colors).astype(np.uint8)
