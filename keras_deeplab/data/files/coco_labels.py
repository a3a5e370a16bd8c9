"""Annotations of a COCO file as the labels of pictures."""

from __future__ import annotations

import typing
from collections.abc import Mapping

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab.data.class_table import IGNORE_INDEX, ClassTable
from keras_deeplab.data.files.coco import Annotation, CocoFile, Picture

if typing.TYPE_CHECKING:
    from rasterio.windows import Window

BACKGROUND = "background"


class PictureLabels(typing.NamedTuple):
    """The `LabelProvider` of an annotated picture.

    Attributes:
        path: The COCO file.
        picture: The picture and its annotations.
        shape: `(height, width)` of the picture.
        indices: Class index of each category.
        fill: Label of pixels without an annotation.
    """

    path: str
    picture: Picture
    shape: tuple[int, int]
    indices: Mapping[str, int]
    fill: int

    def read(self, window: Window | None) -> np.ndarray:
        """`(H, W)` uint8 class indices, 255 for ignored pixels, of a window or the whole picture.

        Where annotations overlap, the later one in the file is on top. Pixels of annotations that
        are only a box are ignored, unless another one covers them.
        """
        label = np.full(self.shape, self.fill, np.uint8)
        for annotation in self.picture.annotations:
            if annotation.box is not None:
                label[_box_slices(annotation.box)] = IGNORE_INDEX
        for annotation in self.picture.annotations:
            if annotation.box is None:
                _paint(label, annotation, self.indices[annotation.category], self._where())
        if window is None:
            return label
        rows = slice(window.row_off, window.row_off + window.height)
        return label[rows, window.col_off : window.col_off + window.width].copy()

    def _where(self) -> str:
        return f"{self.path}: {self.picture.file_name}"


def default_classes(coco: CocoFile) -> ClassTable:
    """Class 0 is `background`; the categories follow in the order of their ids."""
    return ClassTable(tuple(dict.fromkeys((BACKGROUND, *coco.categories))))


def class_indices(coco: CocoFile, classes: ClassTable) -> dict[str, int]:
    """Class index of each category that has annotations, by name.

    Raises:
        ValueError: Lists the categories that are not classes, with the number of annotations; or
            says that there are only boxes.
    """
    used = coco.used()
    unknown = {name: count for name, count in used.items() if name not in classes.names}
    if unknown:
        listed = ", ".join(f"{name} ({count})" for name, count in sorted(unknown.items()))
        raise InputError(
            f"{coco.path}: categories that are not in the class table, with the number of their "
            f"annotations: {listed}. The classes are {', '.join(classes.names)}. Rename the "
            "categories, or add them to the class table."
        )
    annotations = [each for picture in coco.pictures for each in picture.annotations]
    if annotations and all(each.box is not None for each in annotations):
        raise InputError(
            f"{coco.path}: its {len(annotations)} annotations are boxes without polygons or masks: "
            "they do not say which pixels belong to an object. Export the dataset for "
            "segmentation, or draw polygons."
        )
    return {name: classes.names.index(name) for name in used}


def fill_label(classes: ClassTable) -> int:
    """Label of pixels without an annotation: `background`, or ignored without such a class."""
    return classes.names.index(BACKGROUND) if BACKGROUND in classes.names else IGNORE_INDEX


def _paint(label: np.ndarray, annotation: Annotation, value: int, where: str) -> None:
    from pycocotools import mask as masks

    try:
        if annotation.rle is not None:
            found = annotation.rle
            if isinstance(found["counts"], list):
                found = masks.frPyObjects(found, *label.shape)
            area = masks.decode(found) > 0
            if area.shape != label.shape:
                raise ValueError(f"it is {area.shape[::-1]}, the picture {label.shape[::-1]}")
            label[area] = value
            return
        for ring in annotation.polygons or ():
            _paint_polygon(label, np.reshape(ring, (-1, 2)), value, masks)
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: a mask cannot be decoded ({error}).") from error


def _paint_polygon(label: np.ndarray, points: np.ndarray, value: int, masks: typing.Any) -> None:
    """Paints the pixels of a polygon as pycocotools decides them, in its own part of the label."""
    height, width = label.shape
    left, top = np.clip(np.floor(points.min(axis=0)).astype(int) - 1, 0, (width, height))
    right, bottom = np.clip(np.ceil(points.max(axis=0)).astype(int) + 1, 0, (width, height))
    if left < right and top < bottom:
        moved = (points - (left, top)).ravel().tolist()
        (run,) = masks.frPyObjects([moved], int(bottom - top), int(right - left))
        label[top:bottom, left:right][masks.decode(run) > 0] = value


def _box_slices(box: tuple[float, float, float, float]) -> tuple[slice, slice]:
    """The pixels that a box touches."""
    left, top, width, height = box
    return (
        slice(max(int(np.floor(top)), 0), max(int(np.ceil(top + height)), 0)),
        slice(max(int(np.floor(left)), 0), max(int(np.ceil(left + width)), 0)),
    )
