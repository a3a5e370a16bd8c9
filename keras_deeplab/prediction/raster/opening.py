"""Opens the scenes that a model is to predict, when everything fits; nothing is written."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab.data.files.images import RGB, ImageFormat
from keras_deeplab.data.files.places import places_of
from keras_deeplab.data.files.rasters import OPTIONS
from keras_deeplab.prediction.raster.area_file import read_area
from keras_deeplab.prediction.raster.bands import plan_bands
from keras_deeplab.prediction.raster.layout import Layout
from keras_deeplab.prediction.raster.resolution import choose_scale
from keras_deeplab.prediction.raster.run import Run, RunOptions
from keras_deeplab.prediction.raster.scene import Scene, open_scene
from keras_deeplab.prediction.raster.scores import plan_windows
from keras_deeplab.prediction.raster.targets import check_map_name
from keras_deeplab.prediction.vector.target import check_polygons
from keras_deeplab.runtimes.predictor import Predictor
from keras_deeplab.zoo.metadata import ModelMetadata


@contextlib.contextmanager
def open_run(
    predictor: Predictor, options: RunOptions, *, vector: StrPath | None = None
) -> Iterator[Run]:
    """Opens the scene of a run, and plans it.

    Args:
        predictor: `Predictor` with metadata.
        options: `RunOptions`.
        vector: File of the polygons, where they are wanted.

    Raises:
        ValueError: When the scene does not fit the model, or a target cannot be one.
        UnreadableFileError: When a file cannot be opened.
    """
    metadata, classes = predictor.metadata, predictor.network.classes
    if metadata is None:
        raise InputError("The model has no metadata: its classes and bands are unknown.")
    with open_checked(
        options.sources,
        tuple(options.targets.values()),
        metadata,
        ImageFormat(options.bands, options.value_range),
        nodata=options.nodata,
        skip_bad=options.on_bad_block == "nodata",
        aoi=options.aoi,
        aoi_layer=options.aoi_layer,
        vector=vector,
    ) as scene:
        grid = scene.grid
        places = places_of(grid)
        scene_m = None if places is None else places.resolution_m
        scale = choose_scale(scene_m, metadata.resolution_m, options.resolution)
        plan = plan_windows(
            grid.height,
            grid.width,
            scale=scale,
            window=options.window,
            overlap=options.overlap,
            classes=classes,
        )
        targets = {kind: pathlib.Path(path) for kind, path in options.targets.items()}
        layout = Layout(grid, metadata.classes, targets, options.probabilities_dtype)
        if options.crop_to_aoi:
            part = scene.part
            layout = dataclasses.replace(
                layout, grid=grid.cropped(*part), top=part.top, left=part.left
            )
        planned = plan_bands(plan, scene.part)
        yield Run(predictor, options, scene, places, scale, plan, planned, layout)


@contextlib.contextmanager
def open_checked(
    source: StrPath | Sequence[StrPath],
    targets: Sequence[StrPath | None],
    metadata: ModelMetadata,
    form: ImageFormat,
    *,
    nodata: float | None = None,
    skip_bad: bool = False,
    aoi: StrPath | None = None,
    aoi_layer: str | None = None,
    vector: StrPath | None = None,
) -> Iterator[Scene]:
    """Opens a scene that a model is to predict, when everything fits; nothing is written.

    Args:
        source: A raster, or several of one grid.
        targets: Files of the maps; `None` for those that are not wanted.
        metadata: `ModelMetadata` of the model.
        form: Bands and value range, where they are not those of the model.
        nodata: As of `predict_raster`.
        skip_bad: As of `open_scene`.
        aoi: As of `predict_raster`.
        aoi_layer: As of `predict_raster`.
        vector: As of `predict_raster`.

    Raises:
        ValueError: When the scene does not fit the model, a target cannot be one, or the area of
            interest has no pixel of the scene.
        UnreadableFileError: When a file cannot be opened.
    """
    import rasterio

    paths = [source] if isinstance(source, (str, os.PathLike)) else list(source)
    form = complete_form(form, metadata)
    written = [pathlib.Path(path).resolve() for path in targets if path is not None]
    for path in written:
        check_map_name(path)
        if written.count(path) > 1:
            raise InputError(f"{path} is the file of two maps: give each its own.")
    if vector is not None:
        written.append(pathlib.Path(vector).resolve())
    if aoi is not None and pathlib.Path(aoi).resolve() in written:
        raise InputError(f"{aoi} is the area of interest itself: choose another output.")
    with (
        rasterio.Env(**OPTIONS),
        open_scene(paths, form, nodata=nodata, skip_bad=skip_bad) as scene,
    ):
        for path in scene.files.intersection(written):
            raise InputError(f"{path} is a file of the scene itself: choose another output.")
        if vector is not None:
            check_polygons(vector, scene.grid)
        if aoi is not None:
            name = " ".join(map(str, paths))
            scene.area = read_area(aoi, scene.grid, scene=name, layer=aoi_layer)
        yield scene


def complete_form(form: ImageFormat, metadata: ModelMetadata) -> ImageFormat:
    """The format of a scene, with what it leaves open as a model has it.

    Raises:
        ValueError: When it has another number of bands than the model.
    """
    form = form.completed(metadata.form)
    if form.channels != metadata.num_channels:
        raise InputError(
            f"The model takes {metadata.num_channels} channels ({metadata.channel_names}), but "
            f"{form.channels} bands are to be read: {', '.join(map(str, form.bands or RGB))}."
        )
    return form
