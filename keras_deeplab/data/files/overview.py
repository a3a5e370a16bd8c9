"""Small pictures of scenes with their validation ground."""

from __future__ import annotations

import numpy as np

from keras_deeplab.data.files.burning import Burner
from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.data.files.rasters import open_raster
from keras_deeplab.data.files.scenes import Scene
from keras_deeplab.data.files.validation import ValidationGround

SIDE = 700  # pixels of the longer side
VALIDATION = (255, 210, 0)
GAP = 0.35  # brightness that is left in the gap
TINT, EDGE = 0.25, 3  # share of the colour over the validation ground, pixels of its edge


def validation_overview(scene: Scene, ground: ValidationGround, form: ImageFormat) -> np.ndarray:
    """A small image of a scene: validation ground with a yellow edge, the gap around it dark.

    Returns:
        `(H, W, C)` 0..255, float32.
    """
    from rasterio.windows import Window

    factor = min(SIDE / max(scene.shape), 1)
    height, width = (max(round(length * factor), 1) for length in scene.shape)
    with open_raster(scene.path) as raster:
        image, _ = form.read_open(raster, size=(height, width))
    image = image.astype(np.float32)
    polygons, whole = ground.polygons(scene), Window(0, 0, width, height)
    inside, near = (
        _burner(each, height / scene.shape[0], width / scene.shape[1]).burn(whole, 0) > 0
        for each in (polygons, ground.grown(polygons))
    )
    inner = _burner(polygons, height / scene.shape[0], width / scene.shape[1], EDGE)
    edge = inside & (inner.burn(whole, 0) == 0)
    color = np.resize(np.array(VALIDATION, np.float32), image.shape[-1])
    image[near & ~inside] *= GAP
    image[inside] = image[inside] * (1 - TINT) + color * TINT
    image[edge] = color
    return image


def _burner(polygons: np.ndarray, rows: float, columns: float, inset: float = 0) -> Burner:
    """`Burner` of 1 for polygons in pixels of a scene, in a picture of another size."""
    import shapely

    placed = shapely.transform(polygons, lambda xy: xy * (columns, rows))
    return Burner(shapely.buffer(placed, -inset), np.ones(len(placed), np.uint8))
