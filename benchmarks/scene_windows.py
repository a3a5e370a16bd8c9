"""Time and agreement of sizes of windows and overlaps. Needs a scene of 2048 pixels a side or more.

Run: python benchmarks/scene_windows.py SCENE [--row 0] [--column 0] [--model r18_dubai]

A part of the scene, 2048 x 2048 pixels from that row and column on, becomes a map with each choice,
and is predicted as one image. Prints, per megapixel of the scene, the seconds and the CPU seconds
(all threads); the pixels of the same class as in the one image; and the seams, which `scene.py`
explains: few borders cross this part, so they vary more than in a whole scene.
"""

import argparse
import functools
import pathlib
import tempfile

import numpy as np
import rasterio
from rasterio.windows import Window
from scene_figures import CROP, Crops, TimedPredictor, borders, clocks, seams

import keras_deeplab as kd
from keras_deeplab._internal.processor import cpu_model
from keras_deeplab.commands.startup import silence_tensorflow

WINDOWS = (256, 512, 768, 1024)
CHOICES = [(window, window // share) for window in WINDOWS for share in (8, 4)] + [(512, 256)]


def cut(path, row, column, target):
    """Writes the part as a GeoTIFF, without loss."""
    with rasterio.open(path) as scene:
        window = Window(column, row, CROP, CROP)
        image = scene.read((1, 2, 3), window=window)
        profile = {"driver": "GTiff", "dtype": image.dtype, "count": 3, "crs": scene.crs}
        profile |= {"height": CROP, "width": CROP, "transform": scene.window_transform(window)}
    with rasterio.open(target, "w", tiled=True, **profile) as part:
        part.write(image)


def main():
    """Prints a row for each choice."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", type=pathlib.Path)
    parser.add_argument("--row", type=int, default=0)
    parser.add_argument("--column", type=int, default=0)
    parser.add_argument("--model", default="r18_dubai")
    options = parser.parse_args()
    silence_tensorflow()
    predictor = TimedPredictor(kd.compile_for_inference(options.model))
    print(f"{predictor} on {cpu_model()}\n")
    columns = ("overlap", "windows", "seconds/Mpx", "CPU seconds/Mpx", "same class", "seams")
    print("| window |", " | ".join(columns), "|\n|---|" + "---|" * len(columns))
    with tempfile.TemporaryDirectory() as folder:
        part, target = pathlib.Path(folder) / "part.tif", pathlib.Path(folder) / "map.tif"
        cut(options.scene, options.row, options.column, part)
        whole = Crops(part, predictor, count=(1, 1))
        for window, overlap in sorted(CHOICES):
            predictor.warm_up(window, calls=1)
            start = clocks()
            kd.predict_raster(
                predictor,
                part,
                target,
                resolution="native",
                window=window,
                overlap=overlap,
                progress=False,
            )
            seconds, cpu_seconds = (clocks() - start) / (CROP**2 / 1e6)
            with rasterio.open(target) as raster:
                labels = raster.read(1)
            found = seams(labels, functools.partial(borders, window=window, overlap=overlap))
            print(
                f"| {window} | {overlap} | {len(predictor.calls)} | {seconds:.2f} | "
                f"{cpu_seconds:.2f} | {whole.agreement(labels):.2%} | {np.mean(found):.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
