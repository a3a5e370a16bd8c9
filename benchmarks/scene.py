"""Seams, agreement, time and memory of a class map, beside a plain PyTorch loop. Needs a big scene.

Run: python benchmarks/scene.py SCENE [--model r18_dubai] [--nodata VALUE] [--peer]

Prints, for the map that `predict_raster` writes with its default windows:
- seams: how often the class changes from one column (row) of pixels to the next at the borders of
  windows, divided by how often it changes elsewhere: 1 means that nothing shows where they are. The
  same for windows without overlap, as a plain loop cuts them;
- agreement: pixels of four crops of 2048 whose class is that of the crop predicted as one image;
- seconds, megapixels a second, and the peak memory of the process.

With --peer also a loop of windows without overlap in PyTorch, which holds the whole array, in a
process of its own: mmsegmentation's network (plain torch.nn, channels_last), same weights.
"""

import argparse
import multiprocessing
import pathlib
import resource
import tempfile
import time

import numpy as np
import rasterio
from rasterio.windows import Window

import keras_deeplab as kd
from keras_deeplab._internal.processor import cpu_model, has_amx, has_bfloat16
from keras_deeplab.commands.startup import silence_tensorflow
from keras_deeplab.prediction.raster.scenes import OVERLAP, WINDOW
from keras_deeplab.prediction.raster.windows import Axis

CROP = 2048
IGNORE = 255


def changes(labels, axis):
    """Share of the pixels whose class differs from the one before, for each position but 0."""
    first, second = (
        labels.take(range(start, labels.shape[axis] + start - 1), axis) for start in (0, 1)
    )
    known = (first != IGNORE) & (second != IGNORE)
    other = 1 - axis
    return ((first != second) & known).sum(other) / np.maximum(known.sum(other), 1)


def seam(labels, window, overlap):
    """Changes at the borders of windows, and two pixels beside, over those elsewhere."""
    ratios = []
    for axis in (0, 1):
        grid = Axis(labels.shape[axis], window, overlap)
        ends = [start + grid.size for start in grid.starts]
        borders = {border for border in (*grid.starts, *ends) if 0 < border < labels.shape[axis]}
        near = {border + step for border in borders for step in (-1, 0, 1)}
        found = changes(labels, axis)
        at = np.array([position in near for position in range(1, labels.shape[axis])])
        ratios.append(found[at].mean() / found[~at].mean())
    return ratios


def crops(labels, path, predictor):
    """Share of pixels of the same class as in crops predicted as one image."""
    same = total = 0
    height, width = labels.shape
    for top in np.linspace(0, height - CROP, 2).astype(int):
        for left in np.linspace(0, width - CROP, 2).astype(int):
            with rasterio.open(path) as scene:
                image = scene.read((1, 2, 3), window=Window(left, top, CROP, CROP))
            whole = kd.predict(predictor, np.moveaxis(image, 0, -1)).argmax(-1)
            mine = labels[top : top + CROP, left : left + CROP]
            known = mine != IGNORE
            same, total = same + (whole == mine)[known].sum(), total + known.sum()
    return same / total


def peer(path, weights, connection):
    """The plain loop; sends seconds and peak memory."""
    import torch
    from torch_evaluation import Peer

    with rasterio.open(path) as scene:
        start = time.perf_counter()
        image = np.moveaxis(scene.read((1, 2, 3)), 0, -1)
    own = Peer(weights, image[:WINDOW, :WINDOW], 5, "float32")
    labels = np.zeros(image.shape[:2], np.uint8)
    for top in range(0, image.shape[0], WINDOW):
        for left in range(0, image.shape[1], WINDOW):
            part = np.ascontiguousarray(image[top : top + WINDOW, left : left + WINDOW])
            logits = own.view_logits(part, 1.0, False)
            labels[top : top + WINDOW, left : left + WINDOW] = logits[0].argmax(0).numpy()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    connection.send((seconds, peak, labels, torch.__version__))


def main():
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", type=pathlib.Path)
    parser.add_argument("--model", default="r18_dubai")
    parser.add_argument("--nodata", type=float)
    parser.add_argument("--peer", action="store_true")
    options = parser.parse_args()
    silence_tensorflow()
    print(f"{cpu_model()}, bfloat16 instructions: {has_bfloat16()}, AMX: {has_amx()}")
    predictor = kd.compile_for_inference(options.model)
    with tempfile.TemporaryDirectory() as folder:
        target = pathlib.Path(folder) / "map.tif"
        found = kd.predict_raster(predictor, options.scene, target, nodata=options.nodata)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
        with rasterio.open(target) as raster:
            labels = raster.read(1)
    megapixels = labels.size / 1e6
    print(
        f"{predictor}: {labels.shape[1]} x {labels.shape[0]}, {found['seconds']:.0f} s, "
        f"{megapixels / found['seconds']:.2f} Mpx/s, peak memory {peak:.0f} MB"
    )
    print("seams, rows and columns:", *(f"{r:.3f}" for r in seam(labels, WINDOW, OVERLAP)))
    print(f"same class as whole crops: {crops(labels, options.scene, predictor):.2%}")
    if options.peer:
        compare_with_peer(options.scene, options.model)


def compare_with_peer(scene, model):
    """Prints the figures of the plain loop."""
    from keras_deeplab.checkpoints.state_dict import to_state_dict

    context = multiprocessing.get_context("spawn")
    near, far = context.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        weights = pathlib.Path(folder) / "weights.npz"
        np.savez(weights, **to_state_dict(kd.load(model)))
        context.Process(target=peer, args=(scene, weights, far), daemon=True).start()
        seconds, peak, labels, version = near.recv()
    print(
        f"PyTorch {version}, windows without overlap: {seconds:.0f} s, "
        f"{labels.size / 1e6 / seconds:.2f} Mpx/s, peak memory {peak:.0f} MB"
    )
    print("seams, rows and columns:", *(f"{r:.3f}" for r in seam(labels, WINDOW, 0)))


if __name__ == "__main__":
    main()
