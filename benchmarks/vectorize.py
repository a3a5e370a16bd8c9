"""Time and memory of the polygons of a synthetic map, compared with `rasterio.features.shapes`.

Run: python benchmarks/vectorize.py [--polygons 1000000 ...] [--peer] [--simplify METRES]

The map repeats a tile of five classes: smoothed noise, of which opposite borders fit, so that its
polygons have 70 pixels on average and some cross every border. Each contestant runs in a process of
its own. Prints polygons, megapixels, seconds, CPU seconds (all threads), and the memory of the
process: before, with all libraries loaded, and at its peak. The file is a GeoPackage.

With --peer also rasterio: `shapes` of the whole array, each polygon converted to shapely, all of
them written at once.

Required: 10 million polygons within 2 GB.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pyogrio
import rasterio
import rasterio.features
import shapely
from rasterio.windows import Window
from scene_figures import clocks, memory
from scipy import ndimage

import keras_deeplab as kd
from keras_deeplab._internal.processor import cpu_model

TILE = 2048
SIGMA = 3.0  # pixels
PER_TILE = 60_000  # polygons, about


def write_map(path, polygons):
    """Writes a map of about so many polygons, tile by tile."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((5, TILE, TILE), dtype=np.float32)
    smooth = [ndimage.gaussian_filter(each, SIGMA, mode="wrap") for each in noise]
    tile = np.argmax(smooth, 0).astype(np.uint8)
    side = math.ceil(math.sqrt(polygons / PER_TILE) * TILE)
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "height": side, "width": side}
    profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
    profile |= {"crs": "EPSG:32645", "nodata": 255}
    profile["transform"] = rasterio.transform.from_origin(300000, 3200000, 0.3, 0.3)
    with rasterio.open(path, "w", **profile) as file:
        for top in range(0, side, TILE):
            for left in range(0, side, TILE):
                part = tile[: side - top, : side - left]
                file.write(part, 1, window=Window(left, top, part.shape[1], part.shape[0]))


def ours(path, simplify):
    """Polygons of `vectorize`."""
    target = path.with_suffix(".gpkg")
    return kd.vectorize(path, target, simplify=simplify, progress=False)["polygons"]


def peer(path, simplify):
    """Polygons of rasterio, all at once."""
    with rasterio.open(path) as file:
        labels, transform, crs = file.read(1), file.transform, file.crs.to_wkt()
    found = list(rasterio.features.shapes(labels, mask=labels != 255, transform=transform))
    shapes = [shapely.geometry.shape(each) for each, _ in found]
    values = [value for _, value in found]
    options = {"driver": "GPKG", "geometry_type": "Polygon", "crs": crs}
    geometry, fields = shapely.to_wkb(np.array(shapes)), [np.array(values, np.int32)]
    pyogrio.raw.write(path.with_name("peer.gpkg"), geometry, fields, ["class_index"], **options)
    return len(shapes)


CONTESTANTS = {"ours": ours, "rasterio": peer}


def run(name, path, simplify):
    """Prints polygons, seconds, CPU seconds, memory before and at its peak, as JSON."""
    before, start = memory("VmRSS"), clocks()
    count = CONTESTANTS[name](path, simplify)
    print(json.dumps([count, *(clocks() - start), before, memory("VmHWM")]))


def main():
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--polygons", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--simplify", type=float, default=0)
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--run", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--map", type=pathlib.Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run(options.run, options.map, options.simplify)
        return
    print(cpu_model())
    print("| | polygons | Mpx | seconds | CPU seconds | before, MB | peak memory, MB |")
    print("|---|---|---|---|---|---|---|")
    for polygons in options.polygons:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "map.tif"
            write_map(path, polygons)
            with rasterio.open(path) as file:
                megapixels = file.width * file.height / 1e6
            for name in CONTESTANTS if options.peer else ["ours"]:
                command = [sys.executable, __file__, "--run", name, "--map", str(path)]
                command += ["--simplify", str(options.simplify)]
                said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                count, *figures = json.loads(said)
                cells = [name, f"{count:,}", f"{megapixels:.0f}", *(f"{x:.0f}" for x in figures)]
                print("|", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
