"""What can be said of pairs of images and masks before their pixels are needed."""

import concurrent.futures

import numpy as np

from keras_deeplab._internal.problems import MOST_LISTED, raise_problems
from keras_deeplab.data.files.masks import check_mask, mask_problem
from keras_deeplab.data.files.rasters import UnreadableFileError, open_raster

GRID_TOLERANCE = 0.1  # pixels; more is no rounding of coordinates


def check_pairs(pairs, form, bad_files=None):
    """Checks formats, sizes and georeferences by the headers of the files.

    Args:
        pairs: List of `(image file, mask file)`.
        form: `ImageFormat` the images are read with.
        bad_files: `BadFiles` that notes the files that cannot be read; `None` for an error.

    Returns:
        List of the `(height, width)` of each pair; `(0, 0)` where neither file says it.

    Raises:
        ValueError: Lists the files that do not fit, by kind of problem.
    """
    with concurrent.futures.ThreadPoolExecutor() as pool:
        headers = list(pool.map(lambda pair: _inspect(*pair, form, bad_files), pairs))
    raise_problems(
        "images and masks that cannot be read, or do not fit each other (sizes as width, height)",
        (problem for problems, _, _ in headers for problem in problems),
    )
    lacking = [pair[0] for pair, header in zip(pairs, headers, strict=True) if header[1]]
    measured = (_describe_range(path, form) for path in lacking[:MOST_LISTED])
    raise_problems(
        "images that are not 8-bit: say which values become 0 and 255, with "
        "value_range=(low, high) or --value-range LOW HIGH",
        [*measured, *lacking[MOST_LISTED:]],
    )
    return [size for _, _, size in headers]


def check_labels(pairs, classes, bad_files=None):
    """Decodes every mask, in blocks; a `ValueError` lists those with values outside the classes."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        problems = pool.map(lambda pair: _label_problem(pair[1], classes, bad_files), pairs)
        raise_problems("masks do not fit the class table", problems)


def _label_problem(path, classes, bad_files):
    try:
        check_mask(path, classes)
    except UnreadableFileError as error:
        if bad_files is None:
            return str(error)
        bad_files.note(error)
    except ValueError as error:
        return str(error)
    return None


def _inspect(image_path, mask_path, form, bad_files):
    """Problems of a pair, whether the image lacks a value range, and its (height, width)."""
    try:
        with open_raster(image_path) as image, open_raster(mask_path) as mask:
            problems = [form.band_problem(image), mask_problem(mask), _mismatch(image, mask)]
            return filter(None, problems), form.lacks_range(image), image.shape
    except UnreadableFileError as error:
        if bad_files is None:
            return [str(error)], False, None
        shapes = [_shape(path, bad_files) for path in (image_path, mask_path)]
        return [], False, next(filter(None, shapes), (0, 0))


def _shape(path, bad_files):
    """`(height, width)` of a file, or `None` and a note of it."""
    try:
        with open_raster(path) as raster:
            return raster.shape
    except UnreadableFileError as error:
        bad_files.note(error)
        return None


def _describe_range(path, form):
    """Lowest and highest value in words, for which all pixels are read."""
    try:
        return form.describe_range(path)
    except UnreadableFileError as error:
        return str(error)


def _mismatch(image, mask):
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
            f"{image.name} and its mask {mask.name} lie elsewhere: geotransforms "
            f"{image.transform.to_gdal()} and {mask.transform.to_gdal()}"
        )
    return None
