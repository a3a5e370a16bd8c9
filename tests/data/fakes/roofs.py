"""A made-up scene that tells where a window of it is, and polygons of roofs on it."""

import json

import numpy as np
import pyproj
import shapely
from rasterio.transform import from_origin
from rasters import write_raster

SIDE = 512
CRS = "EPSG:32640"
PLACE = from_origin(300_000, 2_800_000, 0.5, 0.5)


def write_scene(folder):
    """Writes `a.tif`, whose red and green are column and row in units of 2 pixels, and its roofs.

    Returns:
        The folder.
    """
    rows, columns = np.indices((SIDE, SIDE)) // 2
    pixels = np.dstack([columns, rows, np.zeros_like(rows)]).astype(np.uint8)
    write_raster(folder / "a.tif", pixels, crs=CRS, transform=PLACE)
    random = np.random.default_rng(0)
    roofs = [ground_box(x, y, x + 20, y + 14) for x, y in random.integers(0, SIDE, (90, 2))]
    geojson(folder / "roofs.geojson", roofs)
    return folder


def ground_box(left, top, right, bottom, transform=PLACE):
    """The polygon of a rectangle of pixels."""
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return shapely.Polygon([transform @ corner for corner in corners])


def geojson(path, polygons, crs=CRS):
    """Writes polygons as GeoJSON in longitude and latitude."""
    to = pyproj.Transformer.from_crs(crs, "OGC:CRS84", always_xy=True).transform
    placed = (shapely.transform(polygon, to, interleaved=False) for polygon in polygons)
    features = [
        {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(polygon)}
        for polygon in placed
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path
