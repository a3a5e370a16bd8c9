"""Calibration images: the crops that the value ranges of an int8 model are measured on."""

from __future__ import annotations

import typing
from collections.abc import Iterator

import numpy as np
import tqdm

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab.data.files.grid import window_starts
from keras_deeplab.data.files.images import BEYOND_8_BITS, ImageFormat
from keras_deeplab.data.files.orientation import orientation
from keras_deeplab.data.files.pairs import Folders, as_folders, files_by_stem
from keras_deeplab.data.files.rasters import open_raster
from keras_deeplab.runtimes.padding import enlarged
from keras_deeplab.runtimes.predictor import Network
from keras_deeplab.zoo.check_images import read_check_image

if typing.TYPE_CHECKING:
    from rasterio.windows import Window

    from keras_deeplab.runtimes.source import ModelSource

MOST_CROPS = 64  # of all images together; a dozen do almost as well, see docs/performance.md
MIN_VALID = 0.5  # of the pixels of a crop have data
IN_PYTHON = "crops given in Python"
GOLDEN = (5**0.5 - 1) / 2  # its multiples, without their whole part, spread evenly over 0..1


class Calibration(typing.NamedTuple):
    """What an int8 model is calibrated with.

    Attributes:
        crops: `(N, tile, tile, channels)`, as the model takes them.
        images: What they are of.
    """

    crops: np.ndarray
    images: str


def find_calibration(
    source: ModelSource,
    images: Folders | np.ndarray | None,
    tile: int,
    form: ImageFormat | None = None,
) -> Calibration:
    """The calibration crops of a model.

    Args:
        source: The model.
        images: Folder of images, or several; or crops; `None` for the check image of the model.
        tile: Side of the crops in pixels.
        form: Bands and value range of the images in folders where they are not those of the model.

    Raises:
        ValueError: When images do not fit the model; names the file. When the model has no check
            image.
    """
    if isinstance(images, np.ndarray):
        return Calibration(images, IN_PYTHON)
    if images is not None:
        names = ", ".join(map(str, as_folders(images)))
        return Calibration(crops_of_folder(images, source.network, tile, form), names)
    if source.check_image is None:
        raise InputError(
            f"{source.network.name} has no check image: name a folder of images with calibrate or "
            "--calibrate."
        )
    return Calibration(
        crops_of_check_image(source.check_image, source.network, tile), "the check image"
    )


def crops_of_folder(
    folder: Folders, network: Network, tile: int, form: ImageFormat | None = None
) -> np.ndarray:
    """Crops of the images in a folder, spread evenly over all places that have data.

    All headers are checked before any pixels are read.

    Args:
        folder: Folder of images, without masks, or several; they may be nested.
        network: The network that is quantised.
        tile: Side of the crops in pixels. Smaller images are mirrored at their borders.
        form: Bands and value range where they are not those of the model.

    Returns:
        `(N, tile, tile, channels)` uint8, or float32 with a value range; at most 64 crops.

    Raises:
        ValueError: When an image does not fit the model; names the file.
    """
    form = (form or ImageFormat()).completed(
        ImageFormat() if network.metadata is None else network.metadata.form
    )
    if not network.normalises:
        raise InputError(f"{network.name} takes normalised images: calibrate it in Python.")
    if form.channels != network.channels:
        raise InputError(
            f"{network.name} takes {network.channels} channels, but {form.channels} bands would be "
            "read: name them with --bands."
        )
    folders = as_folders(folder)
    files = [str(path) for each in folders for path in files_by_stem(each).values()]
    sizes = [_checked_size(path, form) for path in files]
    places = [
        (path, window)
        for path, size in zip(files, sizes, strict=True)
        for window in _windows(size, tile)
    ]
    crops: dict[int, np.ndarray] = {}
    with tqdm.tqdm(total=min(len(places), MOST_CROPS), unit="crop", leave=False) as bar:
        for index in _spread(len(places)):
            image, valid = form.read(*places[index])
            if valid is None or valid.mean() >= MIN_VALID:
                crops[index] = enlarged(image, (tile, tile))
                bar.update()
            if len(crops) == MOST_CROPS:
                break
    if not crops:
        names = ", ".join(map(str, folders))
        raise InputError(f"{names}: the images have no data for calibration, only nodata.")
    return np.stack([crops[index] for index in sorted(crops)])


def _spread(count: int) -> list[int]:
    """All numbers below a count, so that the first ones, however many, are spread evenly.

    The first 64 are at equal distances. The others come where those turn out to have no data.
    """
    first = np.linspace(0, count - 1, min(count, MOST_CROPS)).round().astype(int)
    rest = np.setdiff1d(np.arange(count), first)
    ranks = (np.arange(len(rest)) * GOLDEN % 1).argsort().argsort()
    return [*first.tolist(), *rest[ranks].tolist()]


def crops_of_check_image(path: StrPath, network: Network, tile: int) -> np.ndarray:
    """Crops of the check image of a model: the example of a zoo entry, or of a run.

    Args:
        path: The file, see `zoo.check_images`.
        network: The network that is quantised.
        tile: Side of the crops in pixels.

    Returns:
        `(N, tile, tile, channels)` in the dtype of the file.

    Raises:
        ValueError: When it has other channels than the network.
    """
    image = read_check_image(path)
    if image.shape[-1] != network.channels:
        raise InputError(
            f"{path} has {image.shape[-1]} channels, but {network.name} takes {network.channels}."
        )
    parts = (image[window.toslices()] for window in _windows(image.shape[:2], tile))
    return np.stack([enlarged(part, (tile, tile)) for part in parts])


def _checked_size(path: str, form: ImageFormat) -> tuple[int, int]:
    """Height and width of an image, by its header; an error when it does not fit the format."""
    with open_raster(path) as raster:
        problem = form.band_problem(raster)
        size = orientation(raster).shape
        lacks_range, exceeds = form.lacks_range(raster), form.exceeds_8_bits(raster)
    if problem:
        raise InputError(f"{problem}.")
    if lacks_range:
        raise InputError(
            f"{form.describe_range(path)}: say which become 0 and 255 with --value-range LOW HIGH."
        )
    if exceeds:
        raise InputError(f"{form.describe_range(path)}: {BEYOND_8_BITS}.")
    return size


def _windows(size: tuple[int, ...], tile: int) -> Iterator[Window]:
    """The windows of a tile that cover an image; smaller ones where the image is smaller."""
    from rasterio.windows import Window

    height, width = size
    for row in window_starts(height, tile, tile):
        for column in window_starts(width, tile, tile):
            yield Window(column, row, min(tile, width), min(tile, height))
