"""`keras_deeplab.predict_raster`: a georeferenced class map of a scene of any size."""

from __future__ import annotations

import os
import time
import typing
from collections.abc import Iterator, Sequence

import numpy as np
import tqdm

from keras_deeplab import __version__
from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.data.files.rasters import OPTIONS
from keras_deeplab.prediction.protocols import Protocol, choose_protocol
from keras_deeplab.prediction.raster.geodesy import ClassAreas, ground_of
from keras_deeplab.prediction.raster.maps import Maps, check_map_name, only_writer
from keras_deeplab.prediction.raster.resolution import MODEL, choose_scale
from keras_deeplab.prediction.raster.scene import Scene, open_scene
from keras_deeplab.prediction.raster.scores import Plan, plan_windows, scene_scores
from keras_deeplab.prediction.views import image_probabilities, softmax
from keras_deeplab.runtimes.predictor import Predictor, as_predictor

if typing.TYPE_CHECKING:
    import keras

WINDOW, OVERLAP = 512, 128
CHUNK = 64  # rows of a map that are finished at a time


def predict_raster(
    model: keras.Model | Predictor,
    source: StrPath | Sequence[StrPath],
    target: StrPath,
    *,
    bands: Sequence[int] | None = None,
    value_range: tuple[float, float] | None = None,
    nodata: float | None = None,
    resolution: str | float = MODEL,
    window: int | None = None,
    overlap: int | None = None,
    protocol: str | Protocol | None = None,
    confidence: StrPath | None = None,
    probabilities: StrPath | None = None,
    on_bad_block: str = "stop",
    progress: bool = True,
) -> dict[str, typing.Any]:
    """Writes the class map of a georeferenced scene of any size, in bounded memory.

    The scene is predicted by overlapping windows, whose scores are blended. The map is a
    cloud-optimised GeoTIFF on the grid of the scene: class indices, 255 without data, colours,
    overviews. Next to it are `.aux.xml` (class names for GDAL) and `.qml` (the legend of QGIS).

    Args:
        model: Model of `load` or a `Predictor`, with `metadata`.
        source: A raster that GDAL reads, or several of one grid, which become one map.
        target: The map, a `.tif` file.
        bands: Bands in the order of the model's channels; those of the model by default.
        value_range: Stored values that map to 0 and 255; that of the model by default.
        nodata: Stored value that means no data where all bands have it, if no tag says so.
        resolution: `"model"` predicts at the ground resolution of the model's training images
            where that of the scene differs by more than a quarter; `"native"` predicts the scene
            as it is; a number is in metres per pixel.
        window: Side of the windows in pixels of the prediction; 512 by default.
        overlap: Pixels that neighbouring windows share, at most half a window; 128 by default.
        protocol: Scales and flips of each window, see `predict`; its own windows do not count.
        confidence: File of the probability of each pixel's class, in percent, 255 without data.
        probabilities: File of the probability of every class, uint8 0..250, 255 without data.
        on_bad_block: `"stop"` ends with an error where a file cannot be read; `"nodata"` leaves
            that part out.
        progress: Whether to show a progress bar.

    Returns:
        JSON-serialisable dict: `classes`, for each `name`, `pixels`, `share` and `hectares` on the
        ground (`None` where unknown); `nodata_pixels`, with `bad_pixels`, those that could not be
        read; `resolution_m` of the scene and `predicted_at_m`, or `None`; `height`, `width`,
        `seconds`.

    Raises:
        ValueError: When the scene does not fit the model, an option is invalid, or another process
            writes the map.
        UnreadableFileError: When a file cannot be read.
    """
    predictor = as_predictor(model)
    metadata = predictor.metadata
    if metadata is None:
        raise InputError("The model has no metadata: its classes and bands are unknown.")
    check_map_name(target)
    form = ImageFormat(None if bands is None else tuple(bands), value_range)
    paths = [source] if isinstance(source, (str, os.PathLike)) else list(source)
    views = choose_protocol(protocol)
    if on_bad_block not in ("stop", "nodata"):
        raise InputError(f"on_bad_block must be 'stop' or 'nodata', got {on_bad_block!r}.")
    import rasterio

    with (
        rasterio.Env(**OPTIONS),
        only_writer(target),
        open_scene(
            paths, form.completed(metadata.form), nodata=nodata, skip_bad=on_bad_block == "nodata"
        ) as scene,
    ):
        start = time.perf_counter()
        ground = ground_of(scene.grid)
        scene_m = None if ground is None else ground.resolution_m
        plan = plan_windows(
            scene.grid.height,
            scene.grid.width,
            scale=choose_scale(scene_m, metadata.resolution_m, resolution),
            window=WINDOW if window is None else window,
            overlap=OVERLAP if overlap is None else overlap,
            classes=predictor.network.classes,
        )
        maps = Maps(scene.grid, metadata.classes, target, confidence, probabilities)
        areas = ClassAreas(predictor.network.classes, ground)
        with maps:
            for labelled in _labelled(scene, predictor, views, plan, progress):
                maps.write(*labelled)
                areas.add(labelled[2], *labelled[:2])
            maps.finish(areas.pixels, _tags(predictor, views, plan))
        return {
            "classes": areas.record(metadata.classes.names),
            "nodata_pixels": scene.grid.height * scene.grid.width - int(areas.pixels.sum()),
            "bad_pixels": scene.bad_pixels,
            "resolution_m": scene_m,
            "predicted_at_m": None if scene_m is None else scene_m * plan.scale[0],
            "height": scene.grid.height,
            "width": scene.grid.width,
            "seconds": time.perf_counter() - start,
        }


def _tags(predictor: Predictor, views: Protocol, plan: Plan) -> dict[str, str]:
    assert predictor.metadata is not None
    return {
        "KERAS_DEEPLAB_VERSION": __version__,
        "KERAS_DEEPLAB_MODEL": predictor.network.name,
        "KERAS_DEEPLAB_RUNTIME": f"{predictor.runtime}, {predictor.precision}",
        "KERAS_DEEPLAB_SCALES": ", ".join(f"{scale:g}" for scale in views.scales),
        "KERAS_DEEPLAB_FLIP": str(views.flip),
        "KERAS_DEEPLAB_WINDOW": f"{plan.rows.window}, overlap {plan.rows.overlap}",
        "KERAS_DEEPLAB_PIXELS_A_PIXEL": f"{plan.scale[0]:.6g}",
    }


def _labelled(
    scene: Scene, predictor: Predictor, views: Protocol, plan: Plan, progress: bool
) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """First row, first column, class indices (255 without data) and probabilities, part by part."""
    plain = len(views.scales) == 1 and not views.flip
    height, width = scene.grid.height, scene.grid.width

    def predict(image: np.ndarray) -> np.ndarray:
        if plain:
            return predictor(image[np.newaxis])[0]
        return image_probabilities(predictor, image, views)[-1]

    with tqdm.tqdm(
        total=height * width / 1e6, unit="Mpx", disable=not progress, leave=False, smoothing=0.05
    ) as bar:
        for left, right in plan.parts(width):
            for first, scores in scene_scores(scene, predict, plan, (left, right)):
                for row in range(0, len(scores), CHUNK):
                    part = scores[row : row + CHUNK]
                    top = first + row
                    valid = scene.valid(top, left, part.shape[:2])
                    labels = part.argmax(-1).astype(np.uint8)
                    labels[~valid] = IGNORE_INDEX
                    yield top, left, labels, softmax(part) if plain else part
                    bar.update(labels.size / 1e6)
