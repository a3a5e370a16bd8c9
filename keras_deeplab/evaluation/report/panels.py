"""One image of an evaluation as four pictures inside a page: image, label, prediction, errors."""

import base64
import dataclasses
import io

import numpy as np
from PIL import Image

from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.data.drawing import IGNORED_COLOR, class_colors

LONGEST_SIDE = 320  # pixels
JPEG_QUALITY = 85
# Colours of the error map: the faded image in few greys, which compress; then what is wrong and
# the two stripes of what is ignored.
GREYS = 8
FADED = np.linspace(196, 250, GREYS).astype(np.uint8)
WRONG, IGNORED, STRIPE = GREYS, GREYS + 1, GREYS + 2
WRONG_COLOR = (214, 25, 25)
HATCHING = ((70, 72, 78), (120, 123, 130))
HATCH_STEP = 8  # pixels from stripe to stripe


@dataclasses.dataclass(frozen=True)
class Panel:
    """A picture inside a page.

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


def sample_panels(image, label, prediction, table):
    """The four pictures of a sample, scaled down to at most 320 pixels.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        label: `(H, W)` uint8 class indices, 255 where ignored.
        prediction: `(H, W)` uint8 class indices.
        table: `ClassTable`.

    Returns:
        List of four `Panel`.
    """
    image = _scaled(image, Image.Resampling.BOX)
    # Smoothing would mix classes.
    label, prediction = (
        np.asarray(_scaled(classes, Image.Resampling.NEAREST)) for classes in (label, prediction)
    )
    colors = np.tile(np.uint8(IGNORED_COLOR), (IGNORE_INDEX + 1, 1))
    colors[: len(table)] = class_colors(table)
    return [
        _panel("image", image, "JPEG", quality=JPEG_QUALITY),
        _panel("label", _palette_image(label, colors), "PNG"),
        _panel("prediction", _palette_image(prediction, colors), "PNG"),
        _panel("errors", _error_map(np.asarray(image.convert("L")), label, prediction), "PNG"),
    ]


def data_uri(content, media_type):
    """Bytes as a `data:` URI."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def _scaled(array, resampling):
    """A Pillow image of an array, its longer side at most `LONGEST_SIDE`."""
    image = Image.fromarray(array)
    ratio = min(LONGEST_SIDE / max(image.size), 1)
    return image.resize([max(round(side * ratio), 1) for side in image.size], resampling)


def _error_map(grey, label, prediction):
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


def _palette_image(indices, colors):
    picture = Image.fromarray(indices.astype(np.uint8)).convert("P")
    picture.putpalette(colors.astype(np.uint8).tobytes())
    return picture


def _panel(kind, picture, file_format, **options):
    file = io.BytesIO()
    picture.save(file, file_format, optimize=True, **options)
    uri = data_uri(file.getvalue(), f"image/{file_format.lower()}")
    return Panel(kind, uri, *picture.size)
