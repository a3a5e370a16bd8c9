"""Pictures annotated in a COCO file as a `tf.data.Dataset` of (image, label)."""

from __future__ import annotations

import collections
import concurrent.futures
import importlib.util
import logging
import pathlib
import typing
from collections.abc import Sequence

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab._internal.problems import listing, raise_problems
from keras_deeplab.data.class_table import IGNORE_INDEX, ClassTable
from keras_deeplab.data.files.bad_files import BadFiles
from keras_deeplab.data.files.checks import check_images
from keras_deeplab.data.files.coco import CocoFile, Picture, read_coco
from keras_deeplab.data.files.coco_labels import (
    PictureLabels,
    class_indices,
    default_classes,
    fill_label,
)
from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.data.files.labelled import FilePair, labelled_files
from keras_deeplab.data.files.pairs import Folders, as_folders, files_by_stem, read_split
from keras_deeplab.data.files.windows import RandomWindows
from keras_deeplab.data.summary import LabelCounts

if typing.TYPE_CHECKING:
    import tensorflow as tf

logger = logging.getLogger("keras_deeplab")


def from_coco(
    images: Folders,
    annotations: StrPath,
    classes: ClassTable | Sequence[str] | None = None,
    *,
    split: StrPath | None = None,
    bands: Sequence[int] | None = None,
    value_range: tuple[float, float] | None = None,
    windows: RandomWindows | None = None,
    bad_files: BadFiles | None = None,
) -> tf.data.Dataset:
    """Pictures that are labelled by the polygons and masks of a COCO file.

    Reads what Roboflow, CVAT and Label Studio export. Needs `pip install "keras-deeplab[coco]"`.

    Args:
        images: Folder, or list of folders, of the pictures. A picture is found by the path that the
            file gives, or by the end of it, as tools put folders of their own before it.
        annotations: COCO file (JSON) with images, categories and annotations. Later annotations
            cover earlier ones; crowds count as their category, as CVAT stores masks so.
        classes: `ClassTable`, or list of class names, to which categories belong by name. With a
            class `background`, pixels without an annotation are of that class; without it, they are
            ignored. `None`: class 0 is `background`, the categories follow in the order of their
            ids.
        split: Text file of the stems of the pictures to use, see `from_folder`; `None` uses all.
        bands: Bands to read, see `from_folder`.
        value_range: Stored values that map to 0 and 255, see `from_folder`.
        windows: `RandomWindows` to read parts of large images; `None` for whole images.
        bad_files: `BadFiles` that collects unreadable files; `None` makes each an error.

    Returns:
        `tf.data.Dataset` of `(image, label)` as of `from_folder`, in the order of the file.
        `dataset.class_names` lists the names of the classes.

    Raises:
        ValueError: A file that is not COCO JSON; lists pictures that are missing, unreadable or of
            another size than the file says; damaged annotations; categories that are not classes;
            nothing but boxes.
    """
    form = ImageFormat(None if bands is None else tuple(bands), value_range)
    pictures = AnnotatedPictures(images, annotations, split=split)
    if classes is None:
        classes = pictures.default_classes()
    elif not isinstance(classes, ClassTable):
        classes = ClassTable(tuple(classes))
    dataset = pictures.open(classes, form, windows=windows, bad_files=bad_files)
    dataset.class_names = list(classes.names)  # as of keras.utils.image_dataset_from_directory
    return dataset


class AnnotatedPictures:
    """The pictures of a COCO file, found in folders; see `from_coco`.

    Attributes:
        pairs: `(picture file, COCO file)` of each picture.
    """

    def __init__(
        self, images: Folders, annotations: StrPath, *, split: StrPath | None = None
    ) -> None:
        if importlib.util.find_spec("pycocotools") is None:
            raise InputError('COCO files need pycocotools: pip install "keras-deeplab[coco]".')
        self._coco = read_coco(annotations)
        found = _find(self._coco, as_folders(images), split)
        self._pictures = list(found.values())
        self.pairs = [(path, self._coco.path) for path in found]

    def default_classes(self) -> ClassTable:
        """Class 0 is `background`; the categories follow in the order of their ids."""
        return default_classes(self._coco)

    def open(
        self,
        classes: ClassTable,
        form: ImageFormat,
        *,
        windows: RandomWindows | None = None,
        bad_files: BadFiles | None = None,
    ) -> tf.data.Dataset:
        """The dataset of the pictures, whose headers are checked."""
        return self._dataset(self._labels(classes, form, bad_files), form, windows, bad_files)

    def open_counted(
        self, classes: ClassTable, form: ImageFormat, *, bad_files: BadFiles | None = None
    ) -> tuple[tf.data.Dataset, LabelCounts]:
        """As `open`, and how many pixels each class has in the labels."""
        labels = self._labels(classes, form, bad_files)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            found = pool.map(
                lambda each: np.bincount(each.read(None).ravel(), minlength=IGNORE_INDEX + 1),
                labels,
            )
            counts = np.sum(list(found), axis=0)
        dataset = self._dataset(labels, form, None, bad_files)
        return dataset, LabelCounts.of_histogram(counts, len(classes), images=len(labels))

    def _labels(
        self, classes: ClassTable, form: ImageFormat, bad_files: BadFiles | None
    ) -> list[PictureLabels]:
        indices = class_indices(self._coco, classes)
        shapes = self._check(form, bad_files)
        self._say_contents(classes)
        return [
            PictureLabels(self._coco.path, picture, shape, indices, fill_label(classes))
            for picture, shape in zip(self._pictures, shapes, strict=True)
        ]

    def _check(self, form: ImageFormat, bad_files: BadFiles | None) -> list[tuple[int, int]]:
        """`(height, width)` of each picture; an error where it is not what the COCO file says."""
        paths = [path for path, _ in self.pairs]
        headers = check_images(paths, form, bad_files)
        problems, shapes = [], []
        for path, picture, header in zip(paths, self._pictures, headers, strict=True):
            shape = picture.shape or header.size
            shapes.append(shape)
            if header.seen is not None and header.seen.shape != shape:
                problem = f"{path} is {header.seen}, in {self._coco.path} {shape[::-1]}"
                if header.seen.stored == shape:
                    problem += ": correct the size there if the annotations fit the turned picture"
                    problem += ", or remove the orientation from the file"
                problems.append(problem)
        raise_problems("Pictures of another size than annotated (width, height)", problems)
        return shapes

    def _dataset(
        self,
        labels: Sequence[PictureLabels],
        form: ImageFormat,
        windows: RandomWindows | None,
        bad_files: BadFiles | None,
    ) -> tf.data.Dataset:
        files = [
            FilePair(path, each, form) for (path, _), each in zip(self.pairs, labels, strict=True)
        ]
        shapes = [each.shape for each in labels]
        return labelled_files(files, shapes, form, windows=windows, bad_files=bad_files)

    def _say_contents(self, classes: ClassTable) -> None:
        """Logs what is not plain: pictures without annotations, boxes, polygons without area."""
        path = self._coco.path
        empty = sum(not picture.annotations for picture in self._pictures)
        if empty:
            other = "ignored" if fill_label(classes) == IGNORE_INDEX else "background"
            logger.warning(
                "%s: %d of %d pictures have no annotation: all of their pixels are %s.",
                *(path, empty, len(self._pictures), other),
            )
        annotations = [each for picture in self._pictures for each in picture.annotations]
        boxes = sum(each.box is not None for each in annotations)
        if boxes:
            logger.warning(
                "%s: %d of %d annotations are boxes without polygon or mask: pixels in them are "
                "ignored.",
                *(path, boxes, len(annotations)),
            )
        flat = sum(each.polygons == () for each in annotations)
        if flat:
            logger.warning(
                "%s: %d of %d annotations have polygons of fewer than three points: they cover no "
                "pixel.",
                *(path, flat, len(annotations)),
            )


def _find(
    coco: CocoFile, folders: Sequence[pathlib.Path], split: StrPath | None
) -> dict[str, Picture]:
    """The file of each picture, of those that a split lists."""
    stems = [files_by_stem(folder) for folder in folders]
    by_name: dict[str, list[pathlib.Path]] = collections.defaultdict(list)
    for files in stems:
        for path in files.values():
            by_name[path.name].append(path)
    found: dict[str, Picture] = {}
    problems = []
    where = ", ".join(map(str, folders))
    for picture in coco.pictures:
        name = pathlib.PurePosixPath(picture.file_name)
        best = _most_alike(name, by_name[name.name])
        if not best:
            problems.append(f"{picture.file_name} is not in {where}")
        elif len(best) > 1:
            problems.append(f"{picture.file_name} may be {' or '.join(map(str, best[:3]))}")
        elif str(best[0]) in found:
            other = found[str(best[0])].file_name
            problems.append(f"{picture.file_name} and {other} are both {best[0]}")
        else:
            found[str(best[0])] = picture
    raise_problems(f"{coco.path}: pictures that cannot be found", problems)
    if not found:
        raise InputError(f"{coco.path} lists no picture.")
    unused = [path for files in stems for path in files.values() if str(path) not in found]
    if unused:
        logger.warning(
            "%d pictures are not in %s and are not used:%s", len(unused), coco.path, listing(unused)
        )
    if split is None:
        return found
    chosen = read_split(split, list(zip(folders, stems, strict=True)))
    names = {str(path): stem for files in stems for stem, path in files.items()}
    kept = {path: picture for path, picture in found.items() if names[path] in chosen}
    missing = chosen - {names[path] for path in kept}
    raise_problems(f"Split {split}: pictures that are not in {coco.path}", sorted(missing))
    return kept


def _most_alike(name: pathlib.PurePosixPath, paths: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """Those of some paths that have most of the last parts of a name in common with it."""

    def alike(path: pathlib.Path) -> int:
        parts = list(zip(reversed(path.parts), reversed(name.parts), strict=False))
        return next((n for n, (own, other) in enumerate(parts) if own != other), len(parts))

    most = max(map(alike, paths), default=0)
    return [path for path in paths if alike(path) == most]
