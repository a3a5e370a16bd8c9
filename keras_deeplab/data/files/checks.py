"""Checks of image and mask pairs before training."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.problems import MOST_LISTED, listing, raise_problems
from keras_deeplab.data.class_table import IGNORE_INDEX, ClassTable
from keras_deeplab.data.files.bad_files import BadFiles
from keras_deeplab.data.files.images import BEYOND_8_BITS, ImageFormat
from keras_deeplab.data.files.masks import count_labels, mask_problem
from keras_deeplab.data.files.orientation import Orientation, orientation
from keras_deeplab.data.files.rasters import UnreadableFileError, open_raster

if TYPE_CHECKING:
    from rasterio import DatasetReader

logger = logging.getLogger("keras_deeplab")

GRID_TOLERANCE = 0.1  # pixels; larger shifts are not rounding errors of coordinates


@dataclasses.dataclass(frozen=True)
class Header:
    """What the headers of an image and its mask say.

    Args:
        problems: What is wrong with the pair; `None` entries are nothing.
        size: `(height, width)` of the turned image; `(0, 0)` if neither file can be read.
        dtype: Data type of the image; `None` if it cannot be read.
        lacks_range: Whether the image needs a value range that was not given.
        exceeds_8_bits: Whether the image is 8-bit and the value range is not.
    """

    problems: tuple[str | None, ...] = ()
    size: tuple[int, int] = (0, 0)
    dtype: str | None = None
    lacks_range: bool = False
    exceeds_8_bits: bool = False


def check_pairs(
    pairs: Sequence[tuple[str, str]], form: ImageFormat, bad_files: BadFiles | None = None
) -> list[tuple[int, int]]:
    """Checks formats, sizes and georeferences by the headers of the files.

    Args:
        pairs: Image and mask files.
        form: Format to read the images with.
        bad_files: Records the files that cannot be read; `None` makes them errors.

    Returns:
        `(height, width)` of each pair, turned by its orientation; `(0, 0)` if neither file can be
        read.

    Raises:
        ValueError: Lists the invalid files by kind of problem.
    """
    with concurrent.futures.ThreadPoolExecutor() as pool:
        headers = list(pool.map(lambda pair: _inspect(pair[0], pair[1], form, bad_files), pairs))
    raise_problems(
        "Images and masks that cannot be read, or do not fit each other (sizes as width, height)",
        (problem for header in headers for problem in header.problems),
    )
    images = [image for image, _ in pairs]
    raise_ranges(
        [image for image, header in zip(images, headers, strict=True) if header.lacks_range],
        [image for image, header in zip(images, headers, strict=True) if header.exceeds_8_bits],
        form,
    )
    _warn_of_mixed_types(images, headers)
    return [header.size for header in headers]


def raise_ranges(lacking: Sequence[str], exceeding: Sequence[str], form: ImageFormat) -> None:
    """Raises a `ValueError` that lists images, the first with their lowest and highest value.

    Args:
        lacking: Images that need a value range that was not given.
        exceeding: Images of 8 bits that are to be read with a value range of more bits.
        form: Format to read them with.
    """
    for summary, images in (
        (
            "Images that are not 8-bit: say which values become 0 and 255, with "
            "value_range=(low, high) or --value-range LOW HIGH",
            lacking,
        ),
        (f"8-bit images with value_range={form.value_range}: {BEYOND_8_BITS}", exceeding),
    ):
        measured = (_describe_range(path, form) for path in images[:MOST_LISTED])
        raise_problems(summary, [*measured, *images[MOST_LISTED:]])


def _warn_of_mixed_types(images: Sequence[str], headers: Sequence[Header]) -> None:
    files: dict[str, list[str]] = {}
    for image, header in zip(images, headers, strict=True):
        if header.dtype is not None:
            files.setdefault(header.dtype, []).append(image)
    if len(files) > 1:
        lines = (f"{len(paths)} of {dtype}: {paths[0]}" for dtype, paths in sorted(files.items()))
        logger.warning(
            "The images differ in data type but share one value range:%s", listing(lines)
        )


def check_labels(
    pairs: Sequence[tuple[str, str]], classes: ClassTable, bad_files: BadFiles | None = None
) -> np.ndarray:
    """Decodes every mask, in blocks.

    Args:
        pairs: Image and mask files.
        classes: Classes of the masks.
        bad_files: Records the masks that cannot be read; `None` makes them errors.

    Returns:
        `(256,)` int64: how many pixels of all readable masks have each label. Pixels that only the
        image ignores count as what their mask says.

    Raises:
        ValueError: Lists the masks with values outside the classes.
    """
    with concurrent.futures.ThreadPoolExecutor() as pool:
        checked = pool.map(lambda pair: _count_labels(pair[1], classes, bad_files), pairs)
        counts, problems = np.zeros(IGNORE_INDEX + 1, np.int64), []
        for problem, found in checked:
            counts += found
            problems.append(problem)
    raise_problems("Masks do not fit the class table", problems)
    return counts


def _count_labels(
    path: str, classes: ClassTable, bad_files: BadFiles | None
) -> tuple[str | None, np.ndarray | int]:
    """What is wrong with a mask, or `None`, and how many of its pixels have each label."""
    try:
        return None, count_labels(path, classes)
    except UnreadableFileError as error:
        if bad_files is None:
            return str(error), 0
        bad_files.note(error)
        return None, 0
    except InputError as error:
        return str(error), 0


def _inspect(
    image_path: str, mask_path: str, form: ImageFormat, bad_files: BadFiles | None
) -> Header:
    try:
        with open_raster(image_path) as image, open_raster(mask_path) as mask:
            seen = orientation(image)
            return Header(
                (form.band_problem(image), mask_problem(mask), _mismatch(image, mask)),
                seen.shape,
                image.dtypes[0],
                form.lacks_range(image),
                form.exceeds_8_bits(image),
            )
    except UnreadableFileError as error:
        if bad_files is None:
            return Header((str(error),))
        shapes = [_shape(path, bad_files) for path in (image_path, mask_path)]
        return Header(size=next(filter(None, shapes), (0, 0)))
    except InputError as error:  # of an orientation
        return Header((str(error),))


def _shape(path: str, bad_files: BadFiles) -> tuple[int, int] | None:
    """`(height, width)` of a file; `None` if unreadable, which is recorded."""
    try:
        with open_raster(path) as raster:
            return orientation(raster).shape
    except UnreadableFileError as error:
        bad_files.note(error)
        return None


def _describe_range(path: str, form: ImageFormat) -> str:
    """Lowest and highest value of a file for a message; reads all pixels."""
    try:
        return form.describe_range(path)
    except UnreadableFileError as error:
        return str(error)


def _mismatch(image: DatasetReader, mask: DatasetReader) -> str | None:
    """How the grids of an image and its mask differ, or `None`."""
    seen, mask_seen = orientation(image), orientation(mask)
    if seen.shape != mask_seen.shape:
        return (
            f"{image.name} is {_describe_size(seen)}, its mask {mask.name} is "
            f"{_describe_size(mask_seen)}"
        )
    if image.crs and mask.crs and image.crs != mask.crs:
        return f"{image.name} is in {image.crs}, its mask {mask.name} in {mask.crs}"
    if image.transform.is_identity or mask.transform.is_identity:
        return None  # one of them has no coordinates
    to_ground, mask_to_ground = (np.reshape(r.transform, (3, 3)) for r in (image, mask))
    corners = np.array([[0, image.width, 0], [0, 0, image.height], [1, 1, 1]])
    shifts = np.linalg.solve(to_ground, mask_to_ground @ corners) - corners
    if np.abs(shifts).max() > GRID_TOLERANCE:
        return (
            f"{image.name} and its mask {mask.name} cover different areas: geotransforms "
            f"{image.transform.to_gdal()} and {mask.transform.to_gdal()}"
        )
    return None


def _describe_size(seen: Orientation) -> str:
    """Width and height of a picture, and of the stored one if it is turned."""
    size = f"{seen.shape[::-1]}"
    if seen.code == 1:
        return size
    return f"{size} as turned by its orientation {seen.code} (stored {seen.stored[::-1]})"
