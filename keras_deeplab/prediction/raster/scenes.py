"""`keras_deeplab.predict_raster`: a georeferenced class map of a scene of any size."""

from __future__ import annotations

import contextlib
import os
import pathlib
import time
import typing
from collections.abc import Generator, Iterator, Sequence

import numpy as np
import tqdm

from keras_deeplab import __version__
from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.data.files.images import RGB, ImageFormat
from keras_deeplab.data.files.places import places_of
from keras_deeplab.data.files.rasters import OPTIONS
from keras_deeplab.prediction.protocols import Protocol, choose_protocol
from keras_deeplab.prediction.raster.class_areas import ClassAreas
from keras_deeplab.prediction.raster.maps import PROBABILITIES, Maps
from keras_deeplab.prediction.raster.resolution import MODEL, choose_scale
from keras_deeplab.prediction.raster.scene import Scene, open_scene
from keras_deeplab.prediction.raster.scores import Plan, plan_windows, scene_scores
from keras_deeplab.prediction.raster.targets import check_map_name
from keras_deeplab.prediction.vector.target import check_polygons
from keras_deeplab.prediction.vector.vectorizing import vectorize
from keras_deeplab.prediction.views import image_probabilities, softmax
from keras_deeplab.runtimes.predictor import Predictor, as_predictor
from keras_deeplab.zoo.metadata import ModelMetadata

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
    probabilities_dtype: str = "uint8",
    vector: StrPath | None = None,
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
        probabilities: File of the probability of every class.
        probabilities_dtype: `"uint8"` stores 0..250, 255 without data; `"float16"` stores 0..1,
            NaN without data.
        vector: File of the polygons of the map, see `vectorize`.
        on_bad_block: `"stop"` ends with an error where a file cannot be read; `"nodata"` leaves
            that part out.
        progress: Whether to show a progress bar.

    Returns:
        JSON-serialisable dict: `classes`, for each `name`, `pixels`, `share` and `hectares` on the
        ground (`None` where unknown); `nodata_pixels`, with `bad_pixels`, those that could not be
        read; `resolution_m` of the scene and `predicted_at_m`, or `None`; `height`, `width`,
        `seconds`. With `vector` also `polygons`, what `vectorize` returns.

    Raises:
        ValueError: When the scene does not fit the model, an option is invalid, or another process
            writes the map.
        UnreadableFileError: When a file cannot be read.
    """
    predictor = as_predictor(model)
    metadata = predictor.metadata
    if metadata is None:
        raise InputError("The model has no metadata: its classes and bands are unknown.")
    form = ImageFormat(None if bands is None else tuple(bands), value_range)
    views = choose_protocol(protocol)
    if on_bad_block not in ("stop", "nodata"):
        raise InputError(f"on_bad_block must be 'stop' or 'nodata', got {on_bad_block!r}.")
    if probabilities_dtype not in PROBABILITIES:
        raise InputError(
            f"probabilities_dtype must be 'uint8' or 'float16', got {probabilities_dtype!r}."
        )
    with open_checked(
        source,
        (target, confidence, probabilities),
        metadata,
        form,
        nodata=nodata,
        skip_bad=on_bad_block == "nodata",
    ) as scene:
        start = time.perf_counter()
        if vector is not None:
            check_polygons(vector, scene.grid)
        places = places_of(scene.grid)
        scene_m = None if places is None else places.resolution_m
        scale = choose_scale(scene_m, metadata.resolution_m, resolution)
        plan = plan_windows(
            scene.grid.height,
            scene.grid.width,
            scale=scale,
            window=WINDOW if window is None else window,
            overlap=OVERLAP if overlap is None else overlap,
            classes=predictor.network.classes,
        )
        maps = Maps(
            scene.grid, metadata.classes, target, confidence, probabilities, probabilities_dtype
        )
        areas = ClassAreas(predictor.network.classes, places)
        with maps:
            parts = _labelled(scene, predictor, views, plan, maps.has_probabilities, progress)
            with contextlib.closing(parts):  # its threads end before the rasters are closed
                for top, left, labels, scores in parts:
                    maps.write(top, left, labels, scores)
                    areas.add(labels, top, left)
            maps.finish(areas.pixels, _tags(predictor, views, plan))
        polygons = {}
        if vector is not None:
            found = vectorize(target, vector, confidence=confidence, progress=progress)
            polygons = {"polygons": found}
        return {
            "classes": areas.record(metadata.classes.names),
            "nodata_pixels": scene.grid.height * scene.grid.width - int(areas.pixels.sum()),
            "bad_pixels": scene.bad_pixels,
            "resolution_m": scene_m,
            "predicted_at_m": None if scene_m is None else scene_m * scale,
            "height": scene.grid.height,
            "width": scene.grid.width,
            "seconds": time.perf_counter() - start,
            **polygons,
        }


@contextlib.contextmanager
def open_checked(
    source: StrPath | Sequence[StrPath],
    targets: Sequence[StrPath | None],
    metadata: ModelMetadata,
    form: ImageFormat,
    *,
    nodata: float | None = None,
    skip_bad: bool = False,
) -> Iterator[Scene]:
    """Opens a scene that a model is to predict, when everything fits; nothing is written.

    Args:
        source: A raster, or several of one grid.
        targets: Files of the maps; `None` for those that are not wanted.
        metadata: `ModelMetadata` of the model.
        form: Bands and value range, where they are not those of the model.
        nodata: As of `predict_raster`.
        skip_bad: As of `open_scene`.

    Raises:
        ValueError: When the scene does not fit the model, or a target cannot be one.
        UnreadableFileError: When a file cannot be opened.
    """
    import rasterio

    paths = [source] if isinstance(source, (str, os.PathLike)) else list(source)
    form = form.completed(metadata.form)
    if form.channels != metadata.num_channels:
        raise InputError(
            f"The model takes {metadata.num_channels} channels ({metadata.channel_names}), but "
            f"{form.channels} bands are to be read: {', '.join(map(str, form.bands or RGB))}."
        )
    written = [pathlib.Path(path).resolve() for path in targets if path is not None]
    for path in written:
        check_map_name(path)
        if written.count(path) > 1:
            raise InputError(f"{path} is the file of two maps: give each its own.")
    with (
        rasterio.Env(**OPTIONS),
        open_scene(paths, form, nodata=nodata, skip_bad=skip_bad) as scene,
    ):
        for path in scene.files.intersection(written):
            raise InputError(f"{path} is a file of the scene itself: choose another output.")
        yield scene


def _tags(predictor: Predictor, views: Protocol, plan: Plan) -> dict[str, str]:
    digest = predictor.weights_sha256
    return {
        "KERAS_DEEPLAB_VERSION": __version__,
        "KERAS_DEEPLAB_MODEL": predictor.network.name,
        **({} if digest is None else {"KERAS_DEEPLAB_WEIGHTS_SHA256": digest()}),
        "KERAS_DEEPLAB_RUNTIME": f"{predictor.runtime}, {predictor.precision}",
        "KERAS_DEEPLAB_SCALES": ", ".join(f"{scale:g}" for scale in views.scales),
        "KERAS_DEEPLAB_FLIP": str(views.flip),
        "KERAS_DEEPLAB_WINDOW": f"{plan.rows.window}, overlap {plan.rows.overlap}",
        "KERAS_DEEPLAB_SCENE_PIXELS_PER_PREDICTED_PIXEL": f"{plan.scale[0]:.6g}",
    }


def _labelled(
    scene: Scene,
    predictor: Predictor,
    views: Protocol,
    plan: Plan,
    probabilities: bool,
    progress: bool,
) -> Generator[tuple[int, int, np.ndarray, np.ndarray], None, None]:
    """First row, first column, class indices (255 without data) and scores, part by part.

    The scores are probabilities where these are wanted.
    """
    plain = views.scales == (1.0,) and not views.flip
    height, width = scene.grid.height, scene.grid.width

    def predict(image: np.ndarray) -> np.ndarray:
        if plain:
            return predictor(image[np.newaxis])[0]
        return image_probabilities(predictor, image, views)[-1]

    with tqdm.tqdm(
        total=height * width,
        unit="px",
        unit_scale=True,  # 1.23G
        disable=not progress,
        leave=False,
        smoothing=0.05,
    ) as bar:
        for left, right in plan.parts(width):
            for first, scores in scene_scores(scene, predict, plan, (left, right)):
                for row in range(0, len(scores), CHUNK):
                    part = scores[row : row + CHUNK]
                    top = first + row
                    valid = scene.valid(top, left, part.shape[:2])
                    labels = part.argmax(-1).astype(np.uint8)
                    labels[~valid] = IGNORE_INDEX
                    yield top, left, labels, softmax(part) if plain and probabilities else part
                    bar.update(labels.size)
