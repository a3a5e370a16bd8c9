"""Preparing Potsdam: time and peak memory compared with the reference's converter. Needs OpenCV.

Run: python benchmarks/prepare_potsdam.py --scenes 12

Synthetic scenes of the original size, 6000 x 6000, in archives like the original ones. The peer
takes the steps of the reference's converter: unpack the archives, decode each TIFF whole, decode
the label colours class by class, write each tile as PNG. Ours also writes sorted, checksummed
records with an index. Each measurement runs in its own process; memory is its peak resident size,
including libraries.
"""

import argparse
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
import zipfile

import numpy as np

SIDE, TILE = 6000, 512
TRAIN = ("2_10", "2_11", "2_12", "3_10", "3_11", "3_12", "4_10", "4_11", "5_10", "5_11", "5_12")
VAL = ("2_13", "2_14", "3_13", "3_14", "4_13", "4_14", "4_15", "5_13", "5_14", "5_15", "6_13")
PALETTE = ((255, 255, 255), (0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0), (255, 0, 0))


def scene(rng):
    """An image of smooth areas with fine noise, and its label."""
    import cv2

    cells = rng.integers(0, 6, (60, 60)).astype(np.uint8)
    label = cv2.resize(cells, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
    coarse = rng.integers(40, 200, (300, 300, 3)).astype(np.uint8)
    image = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return image + rng.integers(0, 16, image.shape, np.uint8), np.array(PALETTE, np.uint8)[label]


def write(folder, scenes):
    """Writes the two archives."""
    import rasterio

    rng = np.random.default_rng(0)
    names = [*TRAIN[: scenes - scenes // 3], *VAL[: scenes // 3]]
    profile = {"driver": "GTiff", "count": 3, "height": SIDE, "width": SIDE, "dtype": "uint8"}
    archives = [
        zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        for name in ("2_Ortho_RGB.zip", "5_Labels_all_noBoundary.zip")
    ]
    for name in names:
        stems = (f"2_Ortho_RGB/top_potsdam_{name}_RGB", f"top_potsdam_{name}_label_noBoundary")
        for archive, stem, picture in zip(archives, stems, scene(rng), strict=True):
            path = folder / "scene.tif"
            with rasterio.open(path, "w", **profile) as raster:
                raster.write(np.moveaxis(picture, -1, 0))
            archive.write(path, f"{stem}.tif")
            path.unlink()
    for archive in archives:
        archive.close()


def ours(folder, output):
    """Prepares the dataset with this package."""
    from keras_deeplab.data.datasets.registry import prepared

    prepared("potsdam", data_dir=output, manual_dir=folder)


def reference(folder, output):
    """Cuts as the reference's converter does."""
    import cv2

    for archive in sorted(folder.glob("*.zip")):
        with tempfile.TemporaryDirectory(dir=output.parent) as unpacked:
            with zipfile.ZipFile(archive) as file:
                file.extractall(unpacked)
            for path in sorted(pathlib.Path(unpacked).rglob("*.tif")):
                pixels = cv2.imread(str(path))
                if "label" in path.stem:
                    pixels = indices(pixels)
                starts = sorted({min(i * TILE, SIDE - TILE) for i in range(-(-SIDE // TILE))})
                for row in starts:
                    for column in starts:
                        tile = pixels[row : row + TILE, column : column + TILE]
                        cv2.imwrite(str(output / f"{path.stem}_{row}_{column}.png"), tile)


def indices(colors):
    """Class indices of BGR colours by a weighted sum of the channels, class by class."""
    weights = np.array([2, 3, 4])
    sums = colors.reshape(-1, 3) @ weights
    found = np.zeros(len(sums), np.uint8)
    for index, color in enumerate(PALETTE):
        found[sums == np.array(color[::-1]) @ weights] = index + 1
    return found.reshape(colors.shape[:2])


def measure(name, folder, output):
    """Prints seconds and peak memory in bytes."""
    output.mkdir()
    start = time.perf_counter()
    {"ours": ours, "reference": reference}[name](folder, output)
    seconds = time.perf_counter() - start
    print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=12, help="3 to 22; 38 are published")
    parser.add_argument("--folder", help="for some gigabytes; the system's temporary one if none")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        name, folder, output = options.measure
        return measure(name, pathlib.Path(folder), pathlib.Path(output))
    with tempfile.TemporaryDirectory(dir=options.folder) as work:
        work = pathlib.Path(work)
        (work / "manual").mkdir()
        write(work / "manual", options.scenes)
        results = {}
        for name in ("reference", "ours"):
            command = [sys.executable, __file__, "--measure", name, work / "manual", work / name]
            run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            results[name] = json.loads(run.stdout.splitlines()[-1])
    megapixels = options.scenes * SIDE**2 / 1e6
    print(f"{options.scenes} scenes of {SIDE} x {SIDE}, {megapixels:.0f} Mpx with labels")
    for name, (seconds, peak) in results.items():
        print(
            f"{name:9}  {seconds:6.1f} s  {megapixels / seconds:5.1f} Mpx/s  {peak / 1e6:5.0f} MB"
        )
    ratio = results["ours"][0] / results["reference"][0]
    print(f"ours takes {ratio:.2f} x the time of the reference's converter")


if __name__ == "__main__":
    main()
