"""Checks of image and mask pairs before training."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_deeplab._internal.problems import MOST_LISTED, raise_problems
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.files.bad_files import BadFiles
from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.data.files.masks import check_mask, mask_problem
from keras_deeplab.data.files.rasters import UnreadableFileError, open_raster

if TYPE_CHECKING:
    from rasterio import DatasetReader

GRID_TOLERANCE = 0.1  # pixels; larger shifts are not rounding errors of coordinates


def check_pairs(
    pairs: Sequence[tuple[str, str]], form: ImageFormat, bad_files: BadFiles | None = None
) -> list[tuple[int, int]]:
    """Checks formats, sizes and georeferences by the headers of the files.

    Args:
        pairs: Image and mask files.
        form: Format to read the images with.
        bad_files: Records the files that cannot be read; `None` makes them errors.

    Returns:
        `(height, width)` of each pair; `(0, 0)` if neither file can be read.

    Raises:
        ValueError: Lists the invalid files by kind of problem.
    """
    with concurrent.futures.ThreadPoolExecutor() as pool:
        headers = list(pool.map(lambda pair: _inspect(pair[0], pair[1], form, bad_files), pairs))
    raise_problems(
        "images and masks that cannot be read, or do not fit each other (sizes as width, height)",
        (problem for problems, _, _ in headers for problem in problems),
    )
    rangeless = [pair[0] for pair, header in zip(pairs, headers, strict=True) if header[1]]
    measured = (_describe_range(path, form) for path in rangeless[:MOST_LISTED])
    raise_problems(
        "images that are not 8-bit: say which values become 0 and 255, with "
        "value_range=(low, high) or --value-range LOW HIGH",
        [*measured, *rangeless[MOST_LISTED:]],
    )
    return [size for _, _, size in headers]


def check_labels(
    pairs: Sequence[tuple[str, str]], classes: ClassTable, bad_files: BadFiles | None = None
) -> None:
    """Decodes every mask, in blocks; a `ValueError` lists those with values outside the classes."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        problems = pool.map(lambda pair: _label_problem(pair[1], classes, bad_files), pairs)
        raise_problems("masks do not fit the class table", problems)


def _label_problem(path: str, classes: ClassTable, bad_files: BadFiles | None) -> str | None:
    try:
        check_mask(path, classes)
    except UnreadableFileError as error:
        if bad_files is None:
            return str(error)
        bad_files.note(error)
    except ValueError as error:
        return str(error)
    return None


def _inspect(
    image_path: str, mask_path: str, form: ImageFormat, bad_files: BadFiles | None
) -> tuple[list[str | None], bool, tuple[int, int]]:
    """Problems of a pair, whether the image needs a value range, and its (height, width)."""
    try:
        with open_raster(image_path) as image, open_raster(mask_path) as mask:
            problems = [form.band_problem(image), mask_problem(mask), _mismatch(image, mask)]
            return problems, form.lacks_range(image), image.shape
    except UnreadableFileError as error:
        if bad_files is None:
            return [str(error)], False, (0, 0)
        shapes = [_shape(path, bad_files) for path in (image_path, mask_path)]
        return [], False, next(filter(None, shapes), (0, 0))


def _shape(path: str, bad_files: BadFiles) -> tuple[int, int] | None:
    """`(height, width)` of a file; `None` if unreadable, which is recorded."""
    try:
        with open_raster(path) as raster:
            return raster.shape
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
    if image.shape != mask.shape:
        return (
            f"{image.name} is {(image.width, image.height)}, its mask {mask.name} is "
            f"{(mask.width, mask.height)}"
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
