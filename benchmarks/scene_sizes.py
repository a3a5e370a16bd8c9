"""Memory and time of maps of synthetic scenes of up to 400 megapixels. Needs 1 GB of disk space.

Run: python benchmarks/scene_sizes.py [--model MODEL] [--scenes 10000x4000 ...] [--classes 5 16]

Each scene (rows x columns) repeats an image of the examples in a tiled GeoTIFF, and is predicted in
a process of its own. Without --model the network is a matrix product, so the figures are those of
reading, blending and writing: what a network adds, `scene.py` shows. Prints seconds, CPU seconds
(all threads), and the memory of the process: before the scene, with the model loaded and called,
and at its peak. 16 classes are predicted on the last scene alone.

Required: at most 1.5 GB beyond the loaded model, and a peak that grows by at most 5 % from 10,000
to 100,000 rows.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import rasterio
from rasterio.windows import Window
from scene_figures import TimedPredictor, clocks, memory

import keras_deeplab as kd
from keras_deeplab._internal.processor import cpu_model
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.files.images import RGB, ImageFormat, read_image
from keras_deeplab.prediction.raster.scenes import WINDOW
from keras_deeplab.runtimes.predictor import Network, Predictor
from keras_deeplab.zoo.metadata import ModelMetadata

TEXTURE = pathlib.Path(__file__).parents[1] / "examples" / "dubai" / "images" / "tile3_part003.jpg"
SCENES = ("10000x4000", "100000x4000", "20000x20000", "4000x20000")
LIMIT = 1500  # MB beyond the loaded model


def matrix_product(classes):
    """Predictor whose logits are a matrix product of each pixel."""
    matrix = np.random.default_rng(0).normal(size=(3, classes)).astype(np.float32)
    names = tuple(f"class{index}" for index in range(classes))
    metadata = ModelMetadata("product", ClassTable(names), name="product")
    network = Network("product", metadata, 3, classes, True)
    return Predictor(network, "keras", "float32", lambda size: lambda images: images @ matrix)


def write_scene(path, rows, columns):
    """Writes a scene block by block; every block is another part of the texture."""
    texture, _ = read_image(TEXTURE, ImageFormat(RGB))
    texture = np.moveaxis(np.tile(texture, (2, 2, 1)), -1, 0)
    height, width = (side // 2 for side in texture.shape[1:])
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "height": rows, "width": columns}
    profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "bigtiff": "if_safer"}
    profile |= {"compress": "jpeg", "photometric": "ycbcr", "crs": "EPSG:32645"}
    profile["transform"] = rasterio.transform.from_origin(300000, 3200000, 0.3, 0.3)
    rng = np.random.default_rng(0)
    with rasterio.open(path, "w", **profile) as scene:
        for top in range(0, rows, 512):
            for left in range(0, columns, 512):
                size = min(512, rows - top), min(512, columns - left)
                y, x = rng.integers(0, (height, width))
                block = texture[:, y : y + size[0], x : x + size[1]]
                scene.write(block, window=Window(left, top, size[1], size[0]))


def predict_one(path, model, classes):
    """Prints seconds, CPU seconds, and memory before and at its peak, as JSON."""
    inner = matrix_product(classes) if model is None else kd.compile_for_inference(model)
    predictor = TimedPredictor(inner)
    predictor.warm_up(WINDOW, calls=2)
    before, start = memory("VmRSS"), clocks()
    kd.predict_raster(
        predictor, path, path.with_name("map.tif"), resolution="native", progress=False
    )
    print(json.dumps([*(clocks() - start), before, memory("VmHWM")]))


def main():
    """Prints a row for each scene."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model")
    parser.add_argument("--scenes", nargs="+", default=SCENES, metavar="ROWSxCOLUMNS")
    parser.add_argument("--classes", nargs="+", type=int, default=(5, 16))
    parser.add_argument("--one", type=pathlib.Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        return predict_one(options.one, options.model, options.classes[0])
    print(f"{options.model or 'A matrix product'} on {cpu_model()}\n")
    columns = ("classes", "seconds", "CPU seconds", "CPU seconds/Mpx", "before the scene, MB")
    columns += ("peak memory, MB", "beyond the model, MB")
    print("| rows x columns |", " | ".join(columns), "|\n|---|" + "---|" * len(columns))
    cases = [(scene, options.classes[0]) for scene in options.scenes]
    if options.model is None:
        cases += [(options.scenes[-1], count) for count in options.classes[1:]]
    for scene, classes in cases:
        rows, width = map(int, scene.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "scene.tif"
            write_scene(path, rows, width)
            command = [sys.executable, __file__, "--one", str(path), "--classes", str(classes)]
            command += ["--model", options.model] if options.model else []
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        seconds, cpu_seconds, before, peak = json.loads(output.splitlines()[-1])
        cells = [f"{rows:,} x {width:,}", str(classes), f"{seconds:.0f}", f"{cpu_seconds:.0f}"]
        cells += [f"{cpu_seconds / (rows * width / 1e6):.3f}", f"{before:.0f}", f"{peak:.0f}"]
        missed = " (too much)" if peak - before > LIMIT else ""
        print("|", " | ".join(cells), f"| {peak - before:.0f}{missed} |", flush=True)
    return None


if __name__ == "__main__":
    main()
