"""Opening rasters of any size with rasterio, so that parts of them can be read."""

import contextlib
import warnings

CACHE_MEGABYTES = 256  # of decoded blocks; GDAL's own default is a share of the machine's memory


@contextlib.contextmanager
def open_raster(path, *, name=None):
    """Opens a raster for reading, georeferenced or not.

    Args:
        path: A file that GDAL reads: TIFF, PNG, JPEG and many more.
        name: What to call the file in an error; its path by default.

    Yields:
        A `rasterio.DatasetReader`. Reading fails in the `with` block as opening does.

    Raises:
        ValueError: Names a file that cannot be opened or is damaged, and says why.
    """
    import rasterio

    try:
        with rasterio.Env(GDAL_CACHEMAX=CACHE_MEGABYTES), _opened(path) as raster:
            yield raster
    except rasterio.errors.RasterioError as error:
        cause = error.__cause__ or error  # GDAL's own words
        raise ValueError(f"{name or path}: cannot be read as a raster ({cause}).") from error


def _opened(path):
    import rasterio

    with warnings.catch_warnings():
        # Pictures without coordinates are welcome here; rasterio warns of each.
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        return rasterio.open(path)
