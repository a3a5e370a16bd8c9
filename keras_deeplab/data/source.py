"""Where labelled images come from: files, or a prepared dataset, as one record."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import typing
from collections.abc import Iterator

from keras_deeplab._internal.errors import InputError
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.datasets import registry
from keras_deeplab.data.files.bad_files import BadFiles
from keras_deeplab.data.files.folder import open_counted_pairs, open_pairs
from keras_deeplab.data.files.ground import Ground, describe_ground
from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.data.files.mask_values import MaskValues, mask_values, named_classes
from keras_deeplab.data.files.pairs import pairs_of_csv, pairs_of_folders
from keras_deeplab.data.summary import LabelCounts

if typing.TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class DataSource:
    """Labelled images: a prepared dataset, folders of images and masks, or a CSV file of pairs.

    Folders and CSV files are read once, at the first use; headers and pixels when it is opened.

    Args:
        dataset: Name of a prepared dataset, see `data.list_datasets`; excludes all file arguments.
        data_dir: Folder of prepared datasets, see `data.load`.
        subset: Split of the prepared dataset, `"train"` or `"val"`.
        images: Folders of images.
        masks: Folders of masks, one per image folder.
        split: File that lists the stems to use, or `None` for all.
        pairs: CSV file of pairs instead of folders.
        mask_suffix: Suffix of mask file names, for example `"_mask"`.
        form: `ImageFormat` of the images.
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
    form: ImageFormat = dataclasses.field(default_factory=ImageFormat)
    mask_values: MaskValues = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "mask_values", mask_values(self.mask_values))
        folders = bool(self.images or self.masks or self.split)
        if self.dataset is not None:
            if folders or self.pairs or self.mask_values or self.form != ImageFormat():
                raise InputError("A prepared dataset cannot be combined with options of files.")
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

    def classes(self) -> ClassTable | None:
        """Class table of a prepared dataset or of `mask_values`; `None` for other files."""
        if self.dataset is not None:
            return registry.classes(self.dataset)
        return ClassTable(named_classes(self.mask_values)) if self.mask_values else None

    def open(self, classes: ClassTable, *, bad_files: BadFiles | None = None) -> tf.data.Dataset:
        """The images and labels.

        Args:
            classes: `ClassTable` of the masks.
            bad_files: `BadFiles` that collects unreadable files; `None` makes each an error.

        Returns:
            `tf.data.Dataset` of `(image, label)` of known length, see `data.from_folder`.

        Raises:
            ValueError: When a prepared dataset is not there; and what `data.from_folder` raises.
        """
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
        self, classes: ClassTable, *, bad_files: BadFiles | None = None
    ) -> tuple[tf.data.Dataset, LabelCounts | None]:
        """As `open`, and how many pixels each class has in the masks.

        The masks are decoded once for the checks of `open` and the counts. Pixels that only the
        image ignores count as what their mask says; unreadable masks do not count.

        Returns:
            The dataset and its counts; `None` instead of counts for a prepared dataset, where they
            would need decoding all of it.
        """
        if self.dataset is not None:
            return self.open(classes, bad_files=bad_files), None
        return open_counted_pairs(
            self._file_pairs,
            classes,
            self.form,
            mask_values=self.mask_values,
            bad_files=bad_files,
        )

    def files(self) -> list[str]:
        """Paths of the images and masks, or of the records of a prepared dataset."""
        if self.dataset is not None:
            return [str(path) for path in self._builder().info.splits[self.subset].filepaths]
        return [path for pair in self._file_pairs for path in pair]

    def names(self) -> Iterator[str]:
        """Yields a name for each image: its path below all images' common folder, or its tile."""
        if self.dataset is not None:
            return registry.tile_names(self._builder(), self.subset)
        images = [image for image, _ in self._file_pairs]
        root = os.path.commonpath([os.path.dirname(image) for image in images])
        return (pathlib.Path(image).relative_to(root).as_posix() for image in images)

    def ground(self) -> Ground:
        """Meaning of the channels and ground resolution, where dataset or files say them."""
        if self.dataset is not None:
            config = self._builder().builder_config
            infrared = getattr(config, "channels", "rgb") == "irrg"
            channels = ("nir", "red", "green") if infrared else ("red", "green", "blue")
            return Ground(channels, registry.dataset_spec(self.dataset).resolution_m)
        return describe_ground([image for image, _ in self._file_pairs], self.form)

    @functools.cached_property
    def _file_pairs(self) -> list[tuple[str, str]]:
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
