"""Where labelled images come from: files, or a prepared dataset, as one record."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import pathlib
import typing
from collections.abc import Iterator

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.problems import listing
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.datasets import registry
from keras_deeplab.data.files.annotated import AnnotatedPictures
from keras_deeplab.data.files.bad_files import BadFiles
from keras_deeplab.data.files.folder import open_counted_pairs, open_pairs
from keras_deeplab.data.files.ground import Ground, describe_ground
from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.data.files.mask_values import MaskValues, mask_values, named_classes
from keras_deeplab.data.files.pairs import pairs_of_csv, pairs_of_folders
from keras_deeplab.data.files.polygon_labels import PolygonLabels
from keras_deeplab.data.files.polygon_scenes import PolygonScenes
from keras_deeplab.data.files.scenes import Scene
from keras_deeplab.data.files.validation import ValidationGround, ValidationPlace
from keras_deeplab.data.files.windows import RandomWindows
from keras_deeplab.data.summary import LabelCounts

if typing.TYPE_CHECKING:
    import tensorflow as tf

logger = logging.getLogger("keras_deeplab")


@dataclasses.dataclass(frozen=True)
class DataSource:
    """Labelled images: a prepared dataset, files of images and masks, or scenes and polygons.

    Folders and CSV files are read once, at the first use; headers and pixels when it is opened.
    Scenes are read by windows.

    Args:
        dataset: Name of a prepared dataset, see `data.list_datasets`; excludes all file arguments.
        data_dir: Folder of prepared datasets, see `data.load`.
        subset: Split of the prepared dataset, or side of `validation`, `"train"` or `"val"`.
        images: Folders of images; with `labels`, scenes or folders of scenes.
        masks: Folders of masks, one per image folder.
        split: File that lists the stems to use, or `None` for all.
        pairs: CSV file of pairs instead of folders.
        mask_suffix: Suffix of mask file names, for example `"_mask"`.
        labels: `PolygonLabels` of scenes, instead of masks.
        annotations: COCO file of the images, instead of masks, see `data.from_coco`.
        resolution: Ground resolution to read scenes at, in metres per pixel; `None` as stored.
        form: `ImageFormat` of the images.
        validation: `ValidationGround` of scenes, see `by_place`; `None` takes all labels.
        mask_values: Class name of each stored value in masks, where they are not class indices, see
            `data.from_folder`; pairs or a mapping.

    Raises:
        ValueError: When the arguments name no source, or more than one.
    """

    dataset: str | None = None
    data_dir: pathlib.Path | None = None
    subset: str = "train"
    images: tuple[pathlib.Path, ...] = ()
    masks: tuple[pathlib.Path, ...] = ()
    split: pathlib.Path | None = None
    pairs: pathlib.Path | None = None
    mask_suffix: str = ""
    labels: PolygonLabels | None = None
    annotations: pathlib.Path | None = None
    resolution: float | None = None
    form: ImageFormat = dataclasses.field(default_factory=ImageFormat)
    mask_values: MaskValues = ()
    validation: ValidationGround | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "mask_values", mask_values(self.mask_values))
        folders = bool(self.images or self.masks or self.split)
        if self.dataset is not None:
            others = self.pairs or self.labels or self.annotations or self.mask_values
            if folders or others or self.form != ImageFormat():
                raise InputError("A prepared dataset cannot be combined with options of files.")
        elif self.labels is not None:
            if not self.images or self.masks or self.split or self.pairs:
                raise InputError("Polygons are labels of scenes: give images and no masks.")
        elif self.annotations is not None:
            if not self.images or self.masks or self.pairs:
                raise InputError("Annotations are labels of images: give folders and no masks.")
        elif self.pairs is not None:
            if folders:
                raise InputError("Give folders of images and masks, or a CSV file of pairs.")
        elif not (self.images and self.masks):
            raise InputError("Give images and masks, or a CSV file of pairs.")

    def __str__(self) -> str:
        if self.dataset is not None:
            return f"{self.dataset}, split {self.subset}"
        return ", ".join(str(path) for path in self.images or (self.pairs,))

    def with_format(self, form: ImageFormat) -> DataSource:
        """The same images, with `form` where this record leaves bands or value range open."""
        if self.dataset is not None:
            return self
        return dataclasses.replace(self, form=self.form.completed(form))

    def near_resolution(self, metres: float | None) -> DataSource:
        """The same scenes, read at a ground resolution unless one is chosen or theirs are near.

        Args:
            metres: Metres per pixel; `None` where unknown, which changes nothing.
        """
        if self._scenes is None or self.resolution is not None or metres is None:
            return self
        if self._scenes.are_near(metres):
            return self
        logger.warning("The scenes are read at %.3g m per pixel, as those of the training.", metres)
        return dataclasses.replace(self, resolution=metres)

    def classes(self) -> ClassTable | None:
        """Class table of a prepared dataset; `None` for files, which do not hold one."""
        return None if self.dataset is None else registry.classes(self.dataset)

    def by_place(self, place: ValidationPlace, classes: ClassTable) -> dict[str, DataSource]:
        """The same scenes for training and for validation, by `"train"` and `"val"`.

        Args:
            place: The ground for validation.
            classes: `ClassTable` of the labels.
        """
        if self._scenes is None:
            raise InputError("Validation by place needs scenes with polygons as labels.")
        ground = self._scenes.validation_ground(place, classes)
        return {
            subset: dataclasses.replace(self, validation=ground, subset=subset)
            for subset in ("train", "val")
        }

    @property
    def names_classes(self) -> bool:
        """Whether polygons, annotations or `mask_values` name classes."""
        return bool(self.labels or self.annotations or self.mask_values)

    def default_classes(self) -> ClassTable | None:
        """Classes that polygons, annotations or `mask_values` name; `None` for other masks."""
        if self._scenes is not None:
            return self._scenes.default_classes()
        if self._annotated is not None:
            return self._annotated.default_classes()
        return ClassTable(named_classes(self.mask_values)) if self.mask_values else None

    def open(self, classes: ClassTable, *, bad_files: BadFiles | None = None) -> tf.data.Dataset:
        """The images and labels.

        Args:
            classes: `ClassTable` of the masks.
            bad_files: `BadFiles` that collects unreadable files; `None` makes each an error.

        Returns:
            `tf.data.Dataset` of `(image, label)` of known length, see `data.from_folder`. Of
            scenes, windows of a grid that count each labelled pixel once.

        Raises:
            ValueError: When a prepared dataset is not there; and what `data.from_folder` and
                `data.from_rasters` raise.
        """
        if self._scenes is not None:
            return self._scenes.open(classes, bad_files=bad_files)
        if self._annotated is not None:
            return self._annotated.open(classes, self.form, bad_files=bad_files)
        if self.dataset is None:
            return open_pairs(
                self._file_pairs,
                classes,
                self.form,
                mask_values=self.mask_values,
                bad_files=bad_files,
            )
        if bad_files is not None:
            raise InputError(
                "Only image and mask files can be skipped. A prepared dataset holds checksummed "
                "records in a few large files: if one is damaged, delete its folder and run "
                f"`keras-deeplab prepare {self.dataset}` again."
            )
        return registry.read(self._builder(), self.subset)

    def open_counted(
        self,
        classes: ClassTable,
        *,
        bad_files: BadFiles | None = None,
        windows: RandomWindows | None = None,
    ) -> tuple[tf.data.Dataset, LabelCounts | None]:
        """As `open`, and how many pixels each class has in the masks.

        The masks are decoded once for the checks of `open` and the counts. Pixels that only the
        image ignores count as what their mask says; unreadable masks do not count.

        Args:
            classes: `ClassTable` of the labels.
            bad_files: `BadFiles` that collects unreadable files; `None` makes each an error.
            windows: Random windows of scenes, each to be used about once in a training. Images
                with masks are always whole.

        Returns:
            The dataset and its counts; `None` instead of counts for a prepared dataset, where they
            would need decoding all of it.
        """
        if self.dataset is not None:
            return self.open(classes, bad_files=bad_files), None
        if self._scenes is not None:
            return self._scenes.open_counted(classes, bad_files=bad_files, windows=windows)
        if self._annotated is not None:
            return self._annotated.open_counted(classes, self.form, bad_files=bad_files)
        return open_counted_pairs(
            self._file_pairs,
            classes,
            self.form,
            mask_values=self.mask_values,
            bad_files=bad_files,
        )

    def files(self) -> list[str]:
        """Paths of the images and labels, or of the records of a prepared dataset."""
        if self.dataset is not None:
            return [str(path) for path in self._builder().info.splits[self.subset].filepaths]
        if self._scenes is not None:
            return self._scenes.files()
        return list(dict.fromkeys(path for pair in self._file_pairs for path in pair))

    def names(self, classes: ClassTable) -> Iterator[str]:
        """Yields a name for each image that `open` gives.

        It is the path below all images' common folder, the tile, or scene, row and column.
        """
        if self._scenes is not None:
            return self._scenes.names(classes)
        if self.dataset is not None:
            return registry.tile_names(self._builder(), self.subset)
        images = [image for image, _ in self._file_pairs]
        root = os.path.commonpath([os.path.dirname(image) for image in images])
        return (pathlib.Path(image).relative_to(root).as_posix() for image in images)

    def warn_of_shared_ground(self, training: DataSource) -> None:
        """Warns if scenes are on ground of the scenes of a training."""
        if self._scenes is None or training._scenes is None:
            return
        shared = self._scenes.on_ground_of(training._scenes)
        if shared:
            logger.warning(
                "Validation scenes overlap scenes of the training: the scores will be too good. "
                "Take other scenes, or --val-scenes, which leaves their ground out of the "
                "training:%s",
                listing(shared),
            )

    def validation_scenes(self) -> list[tuple[Scene, ValidationGround]]:
        """The scenes with validation ground or near it; none without `validation`."""
        return [] if self._scenes is None else self._scenes.with_validation()

    def ground(self) -> Ground:
        """Meaning of the channels and ground resolution, where dataset or files say them."""
        if self.dataset is not None:
            config = self._builder().builder_config
            infrared = getattr(config, "channels", "rgb") == "irrg"
            channels = ("nir", "red", "green") if infrared else ("red", "green", "blue")
            return Ground(channels, registry.dataset_spec(self.dataset).resolution_m)
        if self._scenes is not None:
            return self._scenes.ground()
        return describe_ground([image for image, _ in self._file_pairs], self.form)

    @functools.cached_property
    def _scenes(self) -> PolygonScenes | None:
        if self.labels is None:
            return None
        return PolygonScenes(
            self.images,
            self.labels,
            self.form,
            self.resolution,
            validation=self.validation,
            subset=self.subset,
        )

    @functools.cached_property
    def _annotated(self) -> AnnotatedPictures | None:
        if self.annotations is None:
            return None
        return AnnotatedPictures(self.images, self.annotations, split=self.split)

    @functools.cached_property
    def _file_pairs(self) -> list[tuple[str, str]]:
        if self._annotated is not None:
            return self._annotated.pairs
        if self.pairs is not None:
            return pairs_of_csv(self.pairs)
        return pairs_of_folders(
            self.images, self.masks, split=self.split, mask_suffix=self.mask_suffix
        )

    def _builder(self) -> typing.Any:
        builder = registry.dataset_builder(str(self.dataset), data_dir=self.data_dir)
        if not registry.is_prepared(builder):
            raise InputError(
                f"{self.dataset} is not prepared in {builder.data_path}. Run `keras-deeplab "
                f"prepare {self.dataset}` with the same --data-dir."
            )
        return builder
