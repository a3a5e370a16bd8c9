"""Opening rasters of any size with rasterio, so that parts of them can be read."""

import contextlib
import threading
import warnings

import numpy as np

BLOCK = 2048  # pixels a side of what is read at once of a raster that need not fit in memory
OPTIONS = {
    "GDAL_CACHEMAX": 64,  # MB of decoded blocks; the default is a share of the machine's memory
    "GDAL_PNG_WHOLE_IMAGE_OPTIM": "NO",  # that path fills what a truncated file lacks with noise
}

_OPENING = threading.Lock()  # warnings.catch_warnings is not safe between threads


class UnreadableFileError(ValueError):
    """A file that is damaged, gone or forbidden; not one whose contents are wrong.

    Args:
        path: What to call the file.
        reason: What went wrong, as the end of a sentence.
    """

    def __init__(self, path, reason):
        super().__init__(f"{path}: {reason}.")
        self.path = str(path)
        self.reason = reason


@contextlib.contextmanager
def open_raster(path, *, name=None):
    """Opens a raster for reading, georeferenced or not.

    Args:
        path: A file that GDAL reads: TIFF, PNG, JPEG and many more.
        name: What to call the file in an error; its path by default.

    Yields:
        A `rasterio.DatasetReader`. Reading fails in the `with` block as opening does.

    Raises:
        UnreadableFileError: Names a file that cannot be opened or is damaged, and says why.
    """
    import rasterio

    try:
        with rasterio.Env(**OPTIONS), _opened(path) as raster:
            yield raster
    except rasterio.errors.RasterioError as error:
        cause = error.__cause__ or error  # GDAL's own words
        raise UnreadableFileError(name or path, f"cannot be read as a raster ({cause})") from error


def _opened(path):
    import rasterio

    with _OPENING, warnings.catch_warnings():
        # Pictures without coordinates are welcome here; rasterio warns of each.
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        return rasterio.open(path)


def valid_pixels(raster, bands, window=None):
    """Where a raster has data, by its nodata value, mask or alpha band.

    Args:
        raster: Open `rasterio.DatasetReader`.
        bands: Bands to look at, counted from 1.
        window: `rasterio.windows.Window`, or `None` for the whole raster.

    Returns:
        `(H, W)` bool, false where none of the bands has data; `None` where all pixels have.
    """
    from rasterio.enums import MaskFlags

    if any(MaskFlags.all_valid in raster.mask_flag_enums[band - 1] for band in bands):
        return None
    return raster.read_masks(list(bands), window=window).any(axis=0)


def palette(raster):
    """Colours `(values, 3)` uint8 of a raster with a palette; `None` for any other."""
    from rasterio.enums import ColorInterp

    if raster.colorinterp != (ColorInterp.palette,):
        return None
    colors = raster.colormap(1)
    table = np.zeros((max(256, *colors) + 1, 3), np.uint8)
    for value, (red, green, blue, _) in colors.items():
        table[value] = red, green, blue
    return table


def band_listing(raster):
    """The bands of a raster in words: `1 red, 2 green, 3 blue, 4 nir`."""
    names = [
        description or color.name
        for description, color in zip(raster.descriptions, raster.colorinterp, strict=True)
    ]
    return ", ".join(f"{band} {name}" for band, name in zip(raster.indexes, names, strict=True))


def blocks(raster):
    """Windows of at most `BLOCK` x `BLOCK` pixels that cover a raster, row by row."""
    from rasterio.windows import Window

    for row in range(0, raster.height, BLOCK):
        for column in range(0, raster.width, BLOCK):
            yield Window(
                column, row, min(BLOCK, raster.width - column), min(BLOCK, raster.height - row)
            )
