"""Checks of image and mask pairs before training."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.problems import MOST_LISTED, listing, raise_problems
from keras_deeplab.data.files.alignment import describe_grid, mask_grid
from keras_deeplab.data.files.bad_files import BadFiles
from keras_deeplab.data.files.images import BEYOND_8_BITS, ImageFormat
from keras_deeplab.data.files.masks import mask_problem
from keras_deeplab.data.files.orientation import Orientation, orientation
from keras_deeplab.data.files.rasters import UnreadableFileError, open_raster

if TYPE_CHECKING:
    from rasterio import DatasetReader

    from keras_deeplab.data.files.places import Grid

logger = logging.getLogger("keras_deeplab")


@dataclasses.dataclass(frozen=True)
class Header:
    """What the headers of an image and its mask, if it has one, say.

    Args:
        problems: What is wrong with the pair; `None` entries are nothing.
        seen: `Orientation` of the image, and its size; `None` if it cannot be read.
        size: `(height, width)` of the turned image; `(0, 0)` if neither file can be read.
        dtype: Data type of the image; `None` if it cannot be read.
        lacks_range: Whether the image needs a value range that was not given.
        exceeds_8_bits: Whether the image is 8-bit and the value range is not.
        grid: `Grid` of the image if the mask must be warped to it.
        warped: Both grids for a message, if the mask must be warped.
    """

    problems: tuple[str | None, ...] = ()
    seen: Orientation | None = None
    size: tuple[int, int] = (0, 0)
    dtype: str | None = None
    lacks_range: bool = False
    exceeds_8_bits: bool = False
    grid: Grid | None = None
    warped: str | None = None


def check_pairs(
    pairs: Sequence[tuple[str, str]], form: ImageFormat, bad_files: BadFiles | None = None
) -> list[Header]:
    """Checks formats, sizes and georeferences by the headers of the files.

    Args:
        pairs: Image and mask files.
        form: Format to read the images with.
        bad_files: Records the files that cannot be read; `None` makes them errors.

    Returns:
        `Header` of each pair. Masks that must be warped to the grid of their image are logged.

    Raises:
        ValueError: Lists the invalid files by kind of problem.
    """
    with concurrent.futures.ThreadPoolExecutor() as pool:
        headers = list(pool.map(lambda pair: _inspect_pair(pair, form, bad_files), pairs))
    raise_problems(
        "Images and masks that cannot be read, or do not fit each other (sizes as width, height)",
        (problem for header in headers for problem in header.problems),
    )
    _check_values([image for image, _ in pairs], headers, form)
    warped = [header.warped for header in headers if header.warped]
    if warped:
        logger.warning(
            "Masks on another grid than their image are warped to its pixels (nearest neighbour); "
            "where a mask does not reach, pixels are ignored:%s",
            listing(warped),
        )
    return headers


def check_images(
    images: Sequence[str], form: ImageFormat, bad_files: BadFiles | None = None
) -> list[Header]:
    """As `check_pairs`, of images without mask files."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        headers = list(pool.map(lambda image: _inspect_image(image, form, bad_files), images))
    raise_problems(
        "Images that cannot be read",
        (problem for header in headers for problem in header.problems),
    )
    _check_values(images, headers, form)
    return headers


def _check_values(images: Sequence[str], headers: Sequence[Header], form: ImageFormat) -> None:
    """Raises a `ValueError` for images that do not fit the value range; warns of mixed types."""
    raise_ranges(
        [image for image, header in zip(images, headers, strict=True) if header.lacks_range],
        [image for image, header in zip(images, headers, strict=True) if header.exceeds_8_bits],
        form,
    )
    _warn_of_mixed_types(images, headers)


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


def _inspect_pair(pair: tuple[str, str], form: ImageFormat, bad_files: BadFiles | None) -> Header:
    try:
        with open_raster(pair[0]) as image, open_raster(pair[1]) as mask:
            header = _header(image, form)
            mismatch, grid = mask_grid(image, mask)
            warped = f"{mask.name} ({describe_grid(mask)}) to {image.name} ({describe_grid(image)})"
            return dataclasses.replace(
                header,
                problems=(*header.problems, mask_problem(mask), mismatch),
                grid=grid,
                warped=warped if grid else None,
            )
    except UnreadableFileError as error:
        if bad_files is None:
            return Header((str(error),))
        shapes = [_shape(path, bad_files) for path in pair]
        return Header(size=next(filter(None, shapes), (0, 0)))
    except InputError as error:  # of an orientation
        return Header((str(error),))


def _inspect_image(path: str, form: ImageFormat, bad_files: BadFiles | None) -> Header:
    try:
        with open_raster(path) as image:
            return _header(image, form)
    except UnreadableFileError as error:
        if bad_files is None:
            return Header((str(error),))
        bad_files.note(error)
        return Header()
    except InputError as error:  # of an orientation
        return Header((str(error),))


def _header(image: DatasetReader, form: ImageFormat) -> Header:
    """What the header of an open image says."""
    seen = orientation(image)
    return Header(
        (form.band_problem(image),),
        seen,
        seen.shape,
        image.dtypes[0],
        form.lacks_range(image),
        form.exceeds_8_bits(image),
    )


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
