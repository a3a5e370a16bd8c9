"""Scenes with polygons as labels, as a source of labelled images."""

from __future__ import annotations

import functools
import pathlib
import typing
from collections.abc import Iterator, Sequence

from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.files.bad_files import BadFiles
from keras_deeplab.data.files.ground import Ground, describe_ground
from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.data.files.labelled_scenes import LabelledScenes
from keras_deeplab.data.files.places import places_of
from keras_deeplab.data.files.polygon_labels import PolygonLabels
from keras_deeplab.data.files.scenes import NEAR, Scene, open_scenes, scene_files
from keras_deeplab.data.files.validation import (
    TRAIN,
    ValidationGround,
    ValidationPlace,
    lon_lat_outlines,
)
from keras_deeplab.data.files.vectors import default_classes, label_scenes
from keras_deeplab.data.files.windows import GridWindows, RandomWindows
from keras_deeplab.data.summary import LabelCounts

if typing.TYPE_CHECKING:
    import tensorflow as tf

GRID = GridWindows()  # in which scenes are validated and evaluated
SHARED = 0.01  # of a scene; neighbouring scenes may overlap by a few pixels


class PolygonScenes:
    """Scenes with polygons as labels, opened and counted once; see `DataSource`.

    Args:
        images: Scenes, or folders of scenes.
        labels: `PolygonLabels` of the scenes.
        form: `ImageFormat` of the scenes.
        resolution: Ground resolution to read them at, in metres per pixel; `None` as stored.
        validation: `ValidationGround` on them; `None` takes all labels.
        subset: With `validation`, `"train"` or `"val"`.
    """

    def __init__(
        self,
        images: Sequence[pathlib.Path],
        labels: PolygonLabels,
        form: ImageFormat,
        resolution: float | None = None,
        *,
        validation: ValidationGround | None = None,
        subset: str = TRAIN,
    ) -> None:
        self._images = images
        self._labels = labels
        self._form = form
        self._resolution = resolution
        self._validation = validation
        self._subset = subset
        self._opened: dict[tuple[ClassTable, BadFiles | None], LabelledScenes] = {}

    def default_classes(self) -> ClassTable:
        """Class 0 is `background`, the values of the class field follow in sorted order."""
        return default_classes(self._scenes, self._labels)

    def open(self, classes: ClassTable, *, bad_files: BadFiles | None = None) -> tf.data.Dataset:
        """The windows of a grid, which count each labelled pixel once."""
        return self._labelled(classes, bad_files).dataset(GRID)

    def open_counted(
        self,
        classes: ClassTable,
        *,
        bad_files: BadFiles | None = None,
        windows: RandomWindows | None = None,
    ) -> tuple[tf.data.Dataset, LabelCounts]:
        """Windows, by default of a grid, and how many pixels each class has in the labels."""
        labelled = self._labelled(classes, bad_files)
        if windows is None:
            return labelled.dataset(GRID), labelled.counts
        if self._validation is not None and self._subset == TRAIN:
            self._validation.place.check_windows(windows.size)
        return labelled.dataset(windows, kept=False), labelled.counts

    def names(self, classes: ClassTable) -> Iterator[str]:
        """Yields a name for each window that `open` gives: that of the scene, row and column."""
        return self._labelled(classes).names(GRID)

    def files(self) -> list[str]:
        """Paths of the scenes, and of the files of labels and areas."""
        files = [*scene_files(self._images), *self._labels.files()]
        if self._validation is not None and self._validation.place.area is not None:
            files.append(str(self._validation.place.area))
        return files

    def ground(self) -> Ground:
        """Meaning of the channels and ground resolution, where the scenes say them."""
        found = describe_ground(scene_files(self._images), self._form)
        return found._replace(resolution_m=self._resolution or found.resolution_m)

    def are_near(self, metres: float) -> bool:
        """Whether the ground resolution of all scenes is near one, in metres per pixel."""
        known = [places_of(scene.grid) for scene in self._scenes]
        ratios = [places.resolution_m / metres for places in known if places is not None]
        return all(1 / NEAR <= ratio <= NEAR for ratio in ratios)

    def validation_ground(self, place: ValidationPlace, classes: ClassTable) -> ValidationGround:
        """The ground of a place on the scenes."""
        return place.find(self._scenes, lambda: self._labelled(classes).cells)

    def with_validation(self) -> list[tuple[Scene, ValidationGround]]:
        """The scenes with validation ground or near it."""
        ground = self._validation
        if ground is None:
            return []
        return [(scene, ground) for scene in self._scenes if len(ground.polygons(scene))]

    def on_ground_of(self, other: PolygonScenes) -> list[str]:
        """The scenes that share more than `SHARED` of their ground with a scene of another source.

        None if both sources have labelled areas of their own, which may be apart.
        """
        import shapely

        areas = {self._labels.area, other._labels.area}
        if len(areas) == 2 and None not in areas:
            return []
        theirs = lon_lat_outlines(other._scenes)
        tree = shapely.STRtree(theirs)
        found = []
        for scene, outline in zip(self._scenes, lon_lat_outlines(self._scenes), strict=True):
            near = theirs[tree.query(outline)]
            if (shapely.area(shapely.intersection(outline, near)) > SHARED * outline.area).any():
                found.append(scene.path)
        return found

    @functools.cached_property
    def _scenes(self) -> list[Scene]:
        return open_scenes(scene_files(self._images), self._form, self._resolution)

    def _labelled(self, classes: ClassTable, bad_files: BadFiles | None = None) -> LabelledScenes:
        """The scenes, whose labels are counted at the first call."""
        key = classes, bad_files
        if key not in self._opened:
            self._opened[key] = label_scenes(
                self._scenes,
                self._labels,
                classes,
                self._form,
                bad_files,
                ground=self._validation,
                subset=self._subset,
            )
        return self._opened[key]
