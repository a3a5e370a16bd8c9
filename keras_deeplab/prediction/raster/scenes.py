"""`keras_deeplab.predict_raster`: a georeferenced class map of a scene of any size."""

from __future__ import annotations

import os
import time
import typing
from collections.abc import Sequence

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab.prediction.protocols import Protocol, choose_protocol
from keras_deeplab.prediction.raster.layout import PROBABILITIES
from keras_deeplab.prediction.raster.opening import open_run
from keras_deeplab.prediction.raster.predicting import check_workers, predict_run
from keras_deeplab.prediction.raster.resolution import MODEL
from keras_deeplab.prediction.raster.run import RunOptions
from keras_deeplab.runtimes.predictor import Predictor, as_predictor

if typing.TYPE_CHECKING:
    import keras

WINDOW, OVERLAP = 512, 128


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
    aoi: StrPath | None = None,
    aoi_layer: str | None = None,
    crop_to_aoi: bool = False,
    workers: int = 1,
    resume: bool = True,
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
        window: Side of the windows in pixels of the prediction; 512 by default, or the size of the
            images that the model takes.
        overlap: Pixels that neighbouring windows share, at most half a window; 128 by default, or
            half a window where that is less.
        protocol: Scales and flips of each window, see `predict`; its own windows do not count.
        confidence: File of the probability of each pixel's class, in percent, 255 without data.
        probabilities: File of the probability of every class.
        probabilities_dtype: `"uint8"` stores 0..250, 255 without data; `"float16"` stores 0..1,
            NaN without data.
        vector: File of the polygons of the map, see `vectorize`.
        on_bad_block: `"stop"` ends with an error where a file cannot be read; `"nodata"` leaves
            that part out.
        aoi: Vector file with the area of interest: polygons in any CRS. Only pixels whose centres
            are within are predicted and counted; the others of the map are 255.
        aoi_layer: Name of its layer; needed where several have geometries.
        crop_to_aoi: Whether the map is only as large as the area of interest. Its pixels are those
            of the whole map.
        workers: Processes that predict at the same time; they share the processors. More than one
            need a predictor of `compile_for_inference` that was made of a name or a file.
        resume: Whether to continue an interrupted run of the same model, scene and options; else
            what it left is removed.
        progress: Whether to show a progress bar.

    An interrupted run keeps what is finished in a folder next to the map (`.map.tif.parts`), which
    the next run continues, even after SIGKILL. The map has the same bytes, whether its run was
    interrupted or not.

    Returns:
        JSON-serialisable dict: `classes`, for each `name`, `pixels`, `share` and `hectares` on the
        ground (`None` where unknown); `nodata_pixels`, with `bad_pixels`, those that could not be
        read; `outside_pixels` of the map, which are not in the area of interest; `resolution_m` of
        the scene and `predicted_at_m`, or `None`; `height`, `width`, `seconds`.
        With `vector` also `polygons`, what `vectorize` returns.

    Raises:
        ValueError: When the scene does not fit the model, an option is invalid, the area of
            interest has no pixel of the scene, or another process writes the map.
        UnreadableFileError: When a file cannot be read.
        ChildProcessError: When all workers died; names the last one with its part of the scene.
    """
    predictor = as_predictor(model)
    metadata = predictor.metadata
    if metadata is None:
        raise InputError("The model has no metadata: its classes and bands are unknown.")
    count = check_workers(workers, predictor)
    views = choose_protocol(protocol)
    if on_bad_block not in ("stop", "nodata"):
        raise InputError(f"on_bad_block must be 'stop' or 'nodata', got {on_bad_block!r}.")
    if probabilities_dtype not in PROBABILITIES:
        raise InputError(
            f"probabilities_dtype must be 'uint8' or 'float16', got {probabilities_dtype!r}."
        )
    if crop_to_aoi and aoi is None:
        raise InputError("crop_to_aoi needs an area of interest: aoi.")
    paths = [source] if isinstance(source, (str, os.PathLike)) else list(source)
    window = _default_window(predictor) if window is None else window
    maps = {"classes": target, "confidence": confidence, "probabilities": probabilities}
    options = RunOptions(
        sources=tuple(os.fspath(path) for path in paths),
        targets={kind: os.fspath(path) for kind, path in maps.items() if path is not None},
        protocol=views,
        window=window,
        overlap=min(OVERLAP, window // 2) if overlap is None else overlap,
        bands=None if bands is None else tuple(bands),
        value_range=value_range,
        nodata=nodata,
        resolution=resolution,
        probabilities_dtype=probabilities_dtype,
        on_bad_block=on_bad_block,
        aoi=None if aoi is None else os.fspath(aoi),
        aoi_layer=aoi_layer,
        crop_to_aoi=crop_to_aoi,
    )
    start = time.perf_counter()
    with open_run(predictor, options, vector=vector) as run:
        areas, bad_pixels, polygons = predict_run(
            run, vector=vector, workers=count, resume=resume, progress=progress
        )
        grid, scene_m = run.layout.grid, None if run.places is None else run.places.resolution_m
        size = grid.height * grid.width
        inside = size if run.scene.area is None else run.scene.area.pixels
        return {
            "classes": areas.record(metadata.classes.names),
            "nodata_pixels": inside - int(areas.pixels.sum()),
            "outside_pixels": size - inside,
            "bad_pixels": bad_pixels,
            "resolution_m": scene_m,
            "predicted_at_m": None if scene_m is None else scene_m * run.scale,
            "height": grid.height,
            "width": grid.width,
            "seconds": time.perf_counter() - start,
            **({} if polygons is None else {"polygons": polygons}),
        }


def _default_window(predictor: Predictor) -> int:
    """Side of the windows; a model of one size takes no larger ones."""
    return min((side for side in predictor.size if side is not None), default=WINDOW)
