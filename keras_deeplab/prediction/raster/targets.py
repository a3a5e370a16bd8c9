"""Where maps are written: names, errors, completeness, and their place."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab.data.files.rasters import without_georeference_warning

SIDECARS = (".aux.xml", ".ovr", ".msk")  # of GDAL, next to a raster


def check_map_name(path: StrPath) -> None:
    """Raises a `ValueError` for a name that is not that of a GeoTIFF."""
    if pathlib.Path(path).suffix.lower() not in (".tif", ".tiff"):
        raise InputError(f"{path}: maps are written as GeoTIFF: choose a name that ends in .tif.")


@contextlib.contextmanager
def write_errors(target: pathlib.Path) -> Iterator[None]:
    """Context manager: errors of writing become an `OSError` that names the target."""
    from rasterio._err import CPLE_BaseError  # of rasterio.shutil.copy; it has no public name
    from rasterio.errors import RasterioError

    try:
        yield
    except (RasterioError, CPLE_BaseError, OSError) as error:
        if type(error) is OSError and error.errno is None:  # it names the target
            raise
        free = shutil.disk_usage(target.parent).free / 1e6
        raise OSError(
            f"{target} cannot be written ({error.__cause__ or error}). "
            f"Free disk space there: {free:,.0f} MB."
        ) from error


def nodata_pixels_of(path: pathlib.Path) -> int:
    """Number of nodata pixels of a raster; reads all of it, with its overviews.

    GDAL does not report a full disk when it closes a file: then a part is missing.
    """
    import rasterio

    with without_georeference_warning(), rasterio.open(path) as raster:
        levels = range(len(raster.overviews(1)))
    counts = [_count_nodata(path)]
    counts += [_count_nodata(path, overview_level=level) for level in levels]
    return counts[0]


def _count_nodata(path: pathlib.Path, **options: int) -> int:
    import rasterio

    with without_georeference_warning():
        raster = rasterio.open(path, **options)
    count = 0
    with raster:
        for _, window in raster.block_windows():
            pixels = raster.read(window=window, masked=True)[0]  # of all bands: damage shows
            count += int(np.ma.getmaskarray(pixels).sum())
    return count


def publish(folder: pathlib.Path, target: pathlib.Path) -> None:
    """Moves a map to its place, after what belongs to it; that of an older map goes."""
    for suffix in SIDECARS:
        pathlib.Path(f"{target}{suffix}").unlink(missing_ok=True)
    for name in (f"{target.name}.aux.xml", f"{target.stem}.qml", target.name):
        if (folder / name).exists():
            os.replace(folder / name, target.parent / name)
