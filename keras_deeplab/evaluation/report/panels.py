"""An image of an evaluation as four embedded pictures: image, label, prediction, errors."""

import base64
import dataclasses
import io
from typing import Any

import numpy as np
from PIL import Image

from keras_deeplab.data.class_table import IGNORE_INDEX, ClassTable
from keras_deeplab.data.drawing import IGNORED_COLOR, class_colors

LONGEST_SIDE = 320  # pixels
JPEG_QUALITY = 85
# Palette of the error map: the faded image in few greys, which compress well; then wrong pixels
# and the two stripes of ignored pixels.
GREYS = 8
FADED = np.linspace(196, 250, GREYS).astype(np.uint8)
WRONG, IGNORED, STRIPE = GREYS, GREYS + 1, GREYS + 2
WRONG_COLOR = (214, 25, 25)
HATCHING = ((70, 72, 78), (120, 123, 130))
HATCH_STEP = 8  # pixels between stripes


@dataclasses.dataclass(frozen=True)
class Panel:
    """A picture embedded in a page.

    Args:
        kind: `"image"`, `"label"`, `"prediction"` or `"errors"`.
        uri: The picture as a `data:` URI.
        width: Pixels.
        height: Pixels.
    """

    kind: str
    uri: str
    width: int
    height: int


def sample_panels(
    image: np.ndarray, label: np.ndarray, prediction: np.ndarray, table: ClassTable
) -> list[Panel]:
    """The four pictures of a sample, scaled down to at most 320 pixels.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        label: `(H, W)` uint8 class indices, 255 where ignored.
        prediction: `(H, W)` uint8 class indices.
        table: Names and colours of the classes.
    """
    picture = _scaled(image, Image.Resampling.BOX)
    # Interpolation would mix classes.
    label, prediction = (
        np.asarray(_scaled(classes, Image.Resampling.NEAREST)) for classes in (label, prediction)
    )
    colors = np.tile(np.array(IGNORED_COLOR, np.uint8), (IGNORE_INDEX + 1, 1))
    colors[: len(table)] = class_colors(table)
    return [
        _panel("image", picture, "JPEG", quality=JPEG_QUALITY),
        _panel("label", _palette_image(label, colors), "PNG"),
        _panel("prediction", _palette_image(prediction, colors), "PNG"),
        _panel("errors", _error_map(np.asarray(picture.convert("L")), label, prediction), "PNG"),
    ]


def data_uri(content: bytes, media_type: str) -> str:
    """Bytes as a `data:` URI."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def _scaled(array: np.ndarray, resampling: Image.Resampling) -> Image.Image:
    """A Pillow image of an array, scaled so that its longer side is at most `LONGEST_SIDE`."""
    image = Image.fromarray(array)
    ratio = min(LONGEST_SIDE / max(image.size), 1)
    width, height = (max(round(side * ratio), 1) for side in image.size)
    return image.resize((width, height), resampling)


def _error_map(grey: np.ndarray, label: np.ndarray, prediction: np.ndarray) -> Image.Image:
    """A faded image with wrong pixels in red and ignored ones hatched.

    Args:
        grey: `(H, W)` uint8.
        label: `(H, W)` uint8 class indices, 255 where ignored.
        prediction: `(H, W)` uint8 class indices.
    """
    rows, columns = np.indices(label.shape)
    hatched = np.where((rows + columns) % HATCH_STEP < HATCH_STEP // 3, STRIPE, IGNORED)
    shown = np.where(label == prediction, grey // (256 // GREYS), WRONG)
    shown = np.where(label == IGNORE_INDEX, hatched, shown)
    colors = np.concatenate([np.stack([FADED] * 3, axis=1), [WRONG_COLOR], HATCHING])
    return _palette_image(shown, colors)


def _palette_image(indices: np.ndarray, colors: np.ndarray) -> Image.Image:
    picture = Image.fromarray(indices.astype(np.uint8)).convert("P")
    picture.putpalette(colors.astype(np.uint8).tobytes())
    return picture


def _panel(kind: str, picture: Image.Image, file_format: str, **options: Any) -> Panel:
    file = io.BytesIO()
    picture.save(file, file_format, optimize=True, **options)
    uri = data_uri(file.getvalue(), f"image/{file_format.lower()}")
    return Panel(kind, uri, *picture.size)
