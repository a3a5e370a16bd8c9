"""Small rasters that tests write."""

import numpy as np
import rasterio
from rasterio.transform import from_origin

PLACE = {"crs": "EPSG:32640", "transform": from_origin(300_000, 2_800_000, 0.5, 0.5)}


def write_raster(path, array, **options):
    """Writes `(H, W)` or `(H, W, C)` as a GeoTIFF; `options` go to rasterio."""
    array = np.asarray(array)
    bands = array[np.newaxis] if array.ndim == 2 else np.moveaxis(array, -1, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "dtype": array.dtype, **PLACE, **options}
    with rasterio.open(
        path, "w", count=len(bands), height=array.shape[0], width=array.shape[1], **profile
    ) as raster:
        raster.write(bands)


def damage_block(path, column, row):
    """Makes a block of a compressed GeoTIFF unreadable; `column` and `row` count blocks."""
    with rasterio.open(path) as raster:
        start, length = (
            int(raster.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=1))
            for what in ("OFFSET", "SIZE")
        )
    content = bytearray(path.read_bytes())
    middle = slice(start + length // 4, start + length // 2)
    content[middle] = np.random.default_rng(0).bytes(middle.stop - middle.start)
    path.write_bytes(content)
