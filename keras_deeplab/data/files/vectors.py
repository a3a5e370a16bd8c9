"""Scenes whose labels are polygons, as a `tf.data.Dataset` of (image, label)."""

from __future__ import annotations

import pathlib
import typing
from collections.abc import Sequence

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.files.bad_files import BadFiles
from keras_deeplab.data.files.burnt_scenes import burnt_labels
from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.data.files.labelled_scenes import LabelledScenes
from keras_deeplab.data.files.polygon_labels import PolygonLabels
from keras_deeplab.data.files.rasters import UnreadableFileError
from keras_deeplab.data.files.scenes import Scene, open_scenes, region_of, scene_files
from keras_deeplab.data.files.validation import TRAIN, ValidationGround, ValidationPlace
from keras_deeplab.data.files.windows import GridWindows, RandomWindows

if typing.TYPE_CHECKING:
    import tensorflow as tf


def from_rasters(
    scenes: StrPath | Sequence[StrPath],
    labels: StrPath,
    *,
    class_field: str | None = None,
    classes: ClassTable | Sequence[str] | None = None,
    layer: str | None = None,
    burn_order: str | Sequence[str] | None = None,
    all_touched: bool = False,
    labelled_area: StrPath | None = None,
    ignore_unknown: bool = False,
    resolution: float | None = None,
    bands: Sequence[int] | None = None,
    value_range: tuple[float, float] | None = None,
    windows: RandomWindows | GridWindows | None = None,
    place: ValidationPlace | None = None,
    subset: str = "train",
    bad_files: BadFiles | None = None,
) -> tf.data.Dataset:
    """Windows of georeferenced scenes, labelled by the polygons of a vector file.

    Scenes may be of any size, and scenes and polygons in any coordinate reference systems: only
    windows are read, and polygons are burnt into them. Needs `pip install "keras-deeplab[vector]"`.

    Args:
        scenes: Raster, folder of rasters, or list of them. Each has a CRS and a geotransform.
        labels: GeoPackage, GeoJSON, Shapefile, FlatGeobuf or other vector file of polygons.
        class_field: Attribute field that says the class of a polygon: its name, or its index in
            `classes`. 255, null and empty values mean ignored ground. `None` if all polygons are of
            one class.
        classes: `ClassTable`, or list of class names. With a class `background`, ground without
            polygons is of that class; without it, such ground is ignored. `None`: class 0 is
            `background`, the values of the field follow in sorted order.
        layer: Name of the layer; needed where several have geometries.
        burn_order: Which of overlapping polygons is on top: class names from bottom to top, below
            which the other classes are; or the name of a field of numbers, the highest on top. By
            default the later one in the file.
        all_touched: Whether all pixels that a polygon touches belong to it, not only those whose
            centre is in it.
        labelled_area: Vector file of polygons outside of which labels are ignored.
        ignore_unknown: Whether ground of values that are not classes is ignored, instead of an
            error.
        resolution: Ground resolution to read all scenes at, in metres per pixel; `None` reads each
            as stored.
        bands: Bands to read, see `from_folder`.
        value_range: Stored values that map to 0 and 255, see `from_folder`.
        windows: `RandomWindows` for training, or `GridWindows`; by default
            `GridWindows(1024, overlap=128)`, which counts every labelled pixel once.
        place: `ValidationPlace`, the ground for validation; `None` takes all labels.
        subset: With `place`, `"train"` or `"val"`: the labels outside of it and of its gap, or
            those on it.
        bad_files: `BadFiles` for parts of scenes that cannot be read; `None` makes them errors.

    Returns:
        `tf.data.Dataset` of `(image, label)` of known length, as of `from_folder`. Where a scene
        has no data, its label is 255. Windows of a grid without labelled pixels are left out.
        `dataset.class_names` lists the names of the classes.

    Raises:
        ValueError: Scenes that cannot be read, without georeference, or whose bands or values do
            not fit; a labels file without polygons, with points or lines, without CRS, or without
            the layer or field; values that are not classes, with their counts; no polygon on the
            scenes, or no labelled pixel.
        tf.errors.InvalidArgumentError: Names a scene that turns out damaged when it is read.
    """
    order = (burn_order,) if isinstance(burn_order, str) else tuple(burn_order or ())
    polygons = PolygonLabels(
        pathlib.Path(labels),
        class_field=class_field,
        layer=layer,
        burn_order=order,
        all_touched=all_touched,
        area=None if labelled_area is None else pathlib.Path(labelled_area),
        ignore_unknown=ignore_unknown,
    )
    form = ImageFormat(None if bands is None else tuple(bands), value_range)
    opened = open_scenes(scene_files(scenes), form, resolution)
    if classes is None:
        classes = default_classes(opened, polygons)
    elif not isinstance(classes, ClassTable):
        classes = ClassTable(tuple(classes))
    windows = windows or GridWindows()
    ground = None
    if place is not None:
        if subset == TRAIN:
            place.check_windows(windows.size)
        ground = validation_ground(place, opened, polygons, classes, form)
    labelled = label_scenes(
        opened, polygons, classes, form, bad_files, ground=ground, subset=subset
    )
    dataset = labelled.dataset(windows)
    dataset.class_names = list(classes.names)  # as of keras.utils.image_dataset_from_directory
    return dataset


def default_classes(scenes: Sequence[Scene], polygons: PolygonLabels) -> ClassTable:
    """Class 0 is `background`, the values of the class field follow in sorted order."""
    crs = scenes[0].grid.crs
    return polygons.default_classes(region_of([s for s in scenes if s.grid.crs == crs]))


def label_scenes(
    scenes: Sequence[Scene],
    polygons: PolygonLabels,
    classes: ClassTable,
    form: ImageFormat,
    bad_files: BadFiles | None = None,
    *,
    ground: ValidationGround | None = None,
    subset: str = "train",
) -> LabelledScenes:
    """Scenes with polygons as labels; see `from_rasters`.

    Args:
        scenes: The scenes; with `ground`, those of the subset are taken.
        polygons: Their labels.
        classes: Classes of the labels.
        form: Format to read the scenes with.
        bad_files: `BadFiles` for parts of scenes that cannot be read; `None` makes them errors.
        ground: Validation ground, outside of which labels are ignored in the validation, and within
            and around which in the training; `None` for all labels.
        subset: `"train"` or `"val"`.
    """
    if ground is not None:
        scenes = ground.scenes(scenes, subset)
    burnt, origin = burnt_labels(scenes, polygons, classes)
    if ground is None:
        return LabelledScenes(scenes, burnt, classes, form, bad_files, origin=origin)
    labels = ground.restrict(scenes, burnt, subset)
    try:
        return LabelledScenes(scenes, labels, classes, form, bad_files, origin=origin)
    except UnreadableFileError:
        raise
    except InputError as error:
        reason = "Only the validation ground counts."
        if subset == TRAIN:
            gap = f"the gap of {ground.place.gap} pixels around it"
            reason = f"The validation ground and {gap} do not count."
        raise InputError(f"{error} {reason}") from error


def validation_ground(
    place: ValidationPlace,
    scenes: Sequence[Scene],
    polygons: PolygonLabels,
    classes: ClassTable,
    form: ImageFormat,
) -> ValidationGround:
    """The validation ground on scenes, see `from_rasters`."""
    return place.find(
        scenes, lambda: label_scenes(scenes, polygons, classes, form, BadFiles()).cells
    )
