"""Small vector files that tests write, and what rasterio burns of them."""

import numpy as np
import pyogrio
import pyproj
import shapely
from rasterio.features import rasterize


def write_polygons(path, geometries, crs, **fields):
    """Writes geometries with attribute fields, in a format by the file's suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"layer": fields.pop("layer")} if "layer" in fields else {}
    pyogrio.raw.write(
        path,
        shapely.to_wkb(np.asarray(geometries, object)),
        [np.asarray(values) for values in fields.values()],
        list(fields),
        crs=crs,
        geometry_type="Unknown",
        append=path.exists(),
        **options,
    )
    return path


def project(geometries, source, target):
    """The geometries with every point projected; x is east."""
    transform = pyproj.Transformer.from_crs(source, target, always_xy=True).transform
    return shapely.transform(np.asarray(geometries, object), transform, interleaved=False)


def burnt(geometries, values, shape, transform, *, fill=0, all_touched=False):
    """`(H, W)` uint8 of rasterio for a whole image."""
    return rasterize(
        zip(geometries, values, strict=True),
        shape,
        fill=fill,
        transform=transform,
        all_touched=all_touched,
        dtype="uint8",
    )


def blobs(count, width, height, seed=0):
    """Valid polygons of all kinds in pixels: holes, parts, overlaps, beyond the edges."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(count):
        center = random.uniform((-20, -20), (width + 20, height + 20))
        angles = np.sort(random.uniform(0, 2 * np.pi, 9))
        radii = random.uniform(8, 70, (9, 1))
        ring = shapely.Polygon(center + radii * np.stack([np.cos(angles), np.sin(angles)], axis=-1))
        ring = ring if ring.is_valid else ring.buffer(0)
        hole = shapely.box(*(center - 3), *(center + 3))
        shape = (
            ring.difference(hole)
            if number % 3
            else ring.union(shapely.transform(hole, lambda xy: xy + 90))
        )
        found.append(shape)
    return np.array(found, object)
