"""The check image of a run, which later shows whether a faster runtime gives the same classes."""

import os
import pathlib

import numpy as np

from keras_deeplab._internal.files import StrPath, atomic_write
from keras_deeplab.data.files.rasters import without_georeference_warning
from keras_deeplab.evaluation.predictions import LabelledImages, single_images
from keras_deeplab.zoo.run_folders import CHECK_IMAGE

SIDE = 512  # pixels at most; keeps the file below a few megabytes


def keep_check_image(
    folder: str | os.PathLike[str], validation: LabelledImages, *, resume: bool
) -> None:
    """Writes `check_image.tif`: the middle of the first validation image, as the model sees it.

    Black images are skipped: `BadFiles` replaces unreadable ones by black.

    Args:
        folder: The run folder.
        validation: Dataset of `(image, label)`, `(H, W, C)` 0..255 and `(H, W)`. An empty one
            gives no file.
        resume: Whether the run is resumed: it keeps the image that it has.
    """
    path = pathlib.Path(folder) / CHECK_IMAGE
    if resume and path.exists():
        return
    path.unlink(missing_ok=True)  # of a failed start, which may have had other data
    images = (_middle(image) for image, _ in single_images(validation))
    image = next((image for image in images if image.any()), None)
    if image is not None:
        _write_tiff(path, image)


def _middle(image: np.ndarray) -> np.ndarray:
    top, left = (max(length - SIDE, 0) // 2 for length in image.shape[:2])
    return image[top : top + SIDE, left : left + SIDE]


def _write_tiff(path: StrPath, image: np.ndarray) -> None:
    """Writes a `(H, W, C)` image as uint8, or any other dtype as float32."""
    from rasterio.io import MemoryFile

    image = image if image.dtype == np.uint8 else image.astype(np.float32)
    height, width, channels = image.shape
    profile = {"driver": "GTiff", "dtype": image.dtype, "compress": "deflate"}
    if channels != 3:
        profile["photometric"] = "MINISBLACK"  # else GDAL makes a fourth band alpha
    # Through memory: GDAL's errors on a full disk are not OSErrors.
    with MemoryFile() as memory:
        with without_georeference_warning():
            raster = memory.open(height=height, width=width, count=channels, **profile)
        with raster:
            raster.write(np.moveaxis(image, -1, 0))
        with atomic_write(path) as temporary:
            temporary.write_bytes(memory.read())
