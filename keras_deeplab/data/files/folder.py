"""Images and masks in files as a `tf.data.Dataset` of (image, label)."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence

from keras_deeplab._internal.files import StrPath
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.files.bad_files import BadFiles
from keras_deeplab.data.files.checks import check_pairs
from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.data.files.label_checks import check_labels as check_all_labels
from keras_deeplab.data.files.labelled import FilePair, labelled_files
from keras_deeplab.data.files.mask_file import MaskFile
from keras_deeplab.data.files.mask_values import MaskValues, value_labels
from keras_deeplab.data.files.mask_values import mask_values as as_mask_values
from keras_deeplab.data.files.pairs import Folders, pairs_of_csv, pairs_of_folders
from keras_deeplab.data.files.windows import RandomWindows
from keras_deeplab.data.summary import LabelCounts

if typing.TYPE_CHECKING:
    import tensorflow as tf


def from_folder(
    images: Folders,
    masks: Folders,
    classes: ClassTable | Sequence[str],
    *,
    split: StrPath | None = None,
    mask_suffix: str = "",
    bands: Sequence[int] | None = None,
    value_range: tuple[float, float] | None = None,
    mask_values: Mapping[int, str] | None = None,
    windows: RandomWindows | None = None,
    check_labels: bool = True,
    bad_files: BadFiles | None = None,
) -> tf.data.Dataset:
    """Pairs images and masks by file stem.

    Folders may be nested: a stem is the path below the folder without suffix, such as
    `north/tile_1`. Links are followed; hidden files are ignored; a warning lists pictures and
    rasters of other kinds. Pictures with an orientation (EXIF) are turned, as viewers do.

    Args:
        images: Folder, or list of folders, of images: jpg, png, tif, GeoTIFF, bmp.
        masks: Folder, or list of folders matching `images`, of masks with the same stems (png,
            tif, GeoTIFF, bmp): class indices in one band; or colours when `classes` has a palette,
            in RGB, with a palette, or in one band if colours of the table are grey.
        classes: `ClassTable`, or a list of class names for masks of indices.
        split: Text file with one stem per line, blank lines and ` # comments` allowed: only those
            pairs are used. `None` uses all, and then every file must have its partner.
        mask_suffix: Suffix of mask file names, for example `"_mask"`. With it, images and masks
            may share a folder.
        bands: Bands to read in the order of the channels, counted from 1 as GDAL does, for example
            `(4, 1, 2)`; `None` for files of three bands.
        value_range: `(low, high)`, the stored values that map to 0 and 255, linearly; values
            outside are clipped. Required for files that are not 8-bit.
        mask_values: Class name of each stored value in masks, where they are not class indices, for
            example `{0: "background", 255: "building"}`; `"ignore"` for pixels without a label.
            Masks of RGB grey count as their grey value.
        windows: `RandomWindows` to read parts of large images; `None` for whole images.
        check_labels: Whether to decode every mask now, in blocks, and list all wrong ones at once.
            Otherwise a wrong mask is an error when it is read.
        bad_files: `BadFiles` that collects unreadable files, now or later, and says what replaces
            them; `None` makes each an error.

    Returns:
        `tf.data.Dataset` of `(image, label)` of known length: `(H, W, channels)` uint8, or float32
        with a `value_range`, 0..255; and `(H, W)` uint8 class indices with 255 for ignored pixels.
        Whole images come in the order of the file names and may differ in size. Where an image has
        no data (its nodata value in all bands, its mask or alpha, or NaN in any band) it is 0 and
        its label 255; so is the label where the mask has none. A mask with other coordinates than
        its image is warped to the pixels of the image by nearest neighbour.

    Raises:
        ValueError: A folder without images; an image or mask without a partner; unreadable files;
            sizes that differ where one of both has no coordinates; a mask that does not reach its
            image; an orientation in a file with coordinates; missing bands or value range; a range
            beyond 0..255 for an 8-bit file; JPEG
            masks; labels or colours outside the class table; masks of nothing but 0 and 255
            without `mask_values`. Lists the files. With `bad_files`, unreadable files are an error
            only if no pair is left.
        tf.errors.InvalidArgumentError: Names a file that turns out damaged when it is read.
    """
    return open_pairs(
        pairs_of_folders(images, masks, split=split, mask_suffix=mask_suffix),
        classes,
        ImageFormat(None if bands is None else tuple(bands), value_range),
        mask_values=as_mask_values(mask_values),
        windows=windows,
        check_labels=check_labels,
        bad_files=bad_files,
    )


def from_csv(
    path: StrPath,
    classes: ClassTable | Sequence[str],
    *,
    bands: Sequence[int] | None = None,
    value_range: tuple[float, float] | None = None,
    mask_values: Mapping[int, str] | None = None,
    windows: RandomWindows | None = None,
    check_labels: bool = True,
    bad_files: BadFiles | None = None,
) -> tf.data.Dataset:
    """Images and masks as paired by a CSV file.

    Args:
        path: CSV file with a header that has `image` and `mask`; paths are relative to the file.
        classes: See `from_folder`, as for the other arguments.
        bands: Bands to read.
        value_range: Stored values that map to 0 and 255.
        mask_values: Class name of each stored value in masks, or `None`.
        windows: `RandomWindows`, or `None` for whole images.
        check_labels: Whether to decode every mask now.
        bad_files: `BadFiles` for unreadable files, or `None`.

    Returns:
        `tf.data.Dataset` of `(image, label)` as of `from_folder`, in the order of the lines.

    Raises:
        ValueError: A CSV without those columns, missing files, an image listed twice; and what
            `from_folder` raises.
    """
    return open_pairs(
        pairs_of_csv(path),
        classes,
        ImageFormat(None if bands is None else tuple(bands), value_range),
        mask_values=as_mask_values(mask_values),
        windows=windows,
        check_labels=check_labels,
        bad_files=bad_files,
    )


def open_pairs(
    pairs: list[tuple[str, str]],
    classes: ClassTable | Sequence[str],
    form: ImageFormat,
    *,
    mask_values: MaskValues = (),
    windows: RandomWindows | None = None,
    check_labels: bool = True,
    bad_files: BadFiles | None = None,
) -> tf.data.Dataset:
    """The dataset of listed pairs `(image file, mask file)`; see `from_folder`."""
    classes = classes if isinstance(classes, ClassTable) else ClassTable(tuple(classes))
    masks, shapes = _masks(pairs, classes, form, mask_values, bad_files)
    if check_labels:
        check_all_labels(masks, bad_files)
    return _dataset(pairs, masks, shapes, form, windows, bad_files)


def open_counted_pairs(
    pairs: list[tuple[str, str]],
    classes: ClassTable,
    form: ImageFormat,
    *,
    mask_values: MaskValues = (),
    bad_files: BadFiles | None = None,
) -> tuple[tf.data.Dataset, LabelCounts]:
    """As `open_pairs`, and how many pixels of the masks each class has, from the same decoding."""
    masks, shapes = _masks(pairs, classes, form, mask_values, bad_files)
    counts = check_all_labels(masks, bad_files)
    dataset = _dataset(pairs, masks, shapes, form, None, bad_files)
    return dataset, LabelCounts.of_histogram(counts, len(classes), images=len(pairs))


def _masks(
    pairs: list[tuple[str, str]],
    classes: ClassTable,
    form: ImageFormat,
    mask_values: MaskValues,
    bad_files: BadFiles | None,
) -> tuple[list[MaskFile], list[tuple[int, int]]]:
    """The masks of checked pairs, and `(height, width)` of each pair."""
    values = value_labels(mask_values, classes) if mask_values else None
    headers = check_pairs(pairs, form, bad_files)
    masks = [
        MaskFile(mask, classes, values, header.grid)
        for (_, mask), header in zip(pairs, headers, strict=True)
    ]
    return masks, [header.size for header in headers]


def _dataset(
    pairs: list[tuple[str, str]],
    masks: list[MaskFile],
    shapes: list[tuple[int, int]],
    form: ImageFormat,
    windows: RandomWindows | None,
    bad_files: BadFiles | None,
) -> tf.data.Dataset:
    images = [FilePair(image, mask, form) for (image, _), mask in zip(pairs, masks, strict=True)]
    return labelled_files(images, shapes, form, windows=windows, bad_files=bad_files)
