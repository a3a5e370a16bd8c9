"""Check images: what a faster runtime and Keras both predict, to compare their classes."""

import numpy as np

from keras_deeplab._internal.files import StrPath
from keras_deeplab.data.files.rasters import open_raster


def read_check_image(path: StrPath) -> np.ndarray:
    """Reads all bands of a raster: the check image of a run, or the example of a zoo entry.

    Args:
        path: A file that GDAL reads, for example TIFF or JPEG.

    Returns:
        `(H, W, C)` in the dtype of the file.

    Raises:
        ValueError: When the file cannot be read; names it.
    """
    with open_raster(path) as raster:
        return np.ascontiguousarray(np.moveaxis(raster.read(), 0, -1))
