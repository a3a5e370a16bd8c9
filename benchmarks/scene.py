"""Seams, agreement, time and memory of a class map, compared with other tools. Needs a big scene.

Run: python benchmarks/scene.py SCENE [--model r18_dubai] [--nodata VALUE] [--resolution model]
         [--output MAP] [--peer] [--geodeep PYTHON]

Prints, for the map that `predict_raster` writes with its default windows:
- seams: how often the class changes from one row (column) of pixels to the next at the borders of
  windows, divided by how often it changes elsewhere: 1 means that nothing shows where they are. Of
  ours also the borders of the parts that count are among them, 32 pixels inside the windows;
- same class: pixels of four crops of 2048 whose class is that of the crop predicted as one image;
- classes in holes: share of the pixels without data that get a class (with --nodata);
- seconds, CPU seconds (all threads), megapixels a second, the peak memory of the process, and its
  memory before the scene, with the model loaded and called;
- the share of the seconds in which no network computes, and the share of the CPU seconds beyond
  those of the same calls of the network alone: reading, blending and writing. On a machine with
  other load only the CPU seconds count.

With --peer also a loop of windows without overlap in PyTorch, which holds the whole array:
mmsegmentation's network (plain torch.nn, float32, the faster of NCHW and channels_last), same
weights. With --geodeep also GeoDeep, in the environment of that interpreter, with an ONNX file of
the same model. Each runs in a process of its own, one after the other.
"""

import argparse
import functools
import multiprocessing
import pathlib
import tempfile

import numpy as np
import rasterio
from scene_figures import Crops, TimedPredictor, borders, classes_in_holes, clocks, memory, seams
from scene_geodeep import run_geodeep

import keras_deeplab as kd
from keras_deeplab._internal.processor import cpu_model, has_amx, has_bfloat16
from keras_deeplab.commands.startup import silence_tensorflow
from keras_deeplab.prediction.raster.scenes import OVERLAP, WINDOW

COLUMNS = (
    "seconds",
    "CPU seconds",
    "Mpx/s",
    "peak memory, MB",
    "before the scene, MB",
    "seams, rows",
    "seams, columns",
    "same class",
    "classes in holes",
)


def peer(path, weights, classes, connection):
    """The plain loop; sends its name, class indices, seconds, memory before and at its peak."""
    import torch
    from torch_evaluation import Peer

    with rasterio.open(path) as scene:
        corner = np.moveaxis(scene.read((1, 2, 3))[:, :WINDOW, :WINDOW], 0, -1)
    own = Peer(weights, np.ascontiguousarray(corner), classes, "float32")
    before, start = memory("VmRSS"), clocks()
    with rasterio.open(path) as scene:
        image = np.moveaxis(scene.read((1, 2, 3)), 0, -1)
    labels = np.zeros(image.shape[:2], np.uint8)
    for top in range(0, image.shape[0], WINDOW):
        for left in range(0, image.shape[1], WINDOW):
            part = np.ascontiguousarray(image[top : top + WINDOW, left : left + WINDOW])
            logits = own.view_logits(part, 1.0, False)
            labels[top : top + WINDOW, left : left + WINDOW] = logits[0].argmax(0).numpy()
    taken = clocks() - start
    layout = "channels_last" if own.layout == torch.channels_last else "NCHW"
    name = f"PyTorch {torch.__version__} loop, float32, {layout}"
    connection.send((name, labels, taken, before, memory("VmHWM")))


def run_peer(scene, model):
    """What `peer` sends from a process of its own."""
    from keras_deeplab.checkpoints.state_dict import to_state_dict

    context = multiprocessing.get_context("spawn")
    near, far = context.Pipe()
    loaded = kd.load(model)
    with tempfile.TemporaryDirectory() as folder:
        weights = pathlib.Path(folder) / "weights.npz"
        np.savez(weights, **to_state_dict(loaded))
        arguments = (scene, weights, loaded.output_shape[-1], far)
        context.Process(target=peer, args=arguments, daemon=True).start()
        far.close()  # so that `recv` ends with an error if the process does
        return near.recv()


def run_own(predictor, options):
    """Class indices and summary of `predict_raster`; prints how long the network computes."""
    alone, before, start = predictor.warm_up(WINDOW), memory("VmRSS"), clocks()
    with tempfile.TemporaryDirectory() as folder:
        target = options.output or pathlib.Path(folder) / "map.tif"
        found = kd.predict_raster(
            predictor,
            options.scene,
            target,
            nodata=options.nodata,
            resolution=options.resolution,
            progress=False,
        )
        taken, peak = clocks() - start, memory("VmHWM")
        with rasterio.open(target) as raster:
            labels = raster.read(1)
    count = len(predictor.calls)
    print(
        f"{count} windows of {WINDOW}. Reading, blending and writing: "
        f"{1 - sum(predictor.calls) / taken[0]:.1%} of the seconds outside the network, "
        f"{1 - alone[1] * count / taken[1]:.1%} of the CPU seconds"
    )
    nodata = found["nodata_pixels"] / labels.size
    print(f"nodata: {nodata:.2%} of the map; beyond the loaded model: {peak - before:.0f} MB")
    return labels, found, taken, before, peak


def main():
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", type=pathlib.Path)
    parser.add_argument("--model", default="r18_dubai")
    parser.add_argument("--nodata", type=float)
    parser.add_argument("--resolution", default="model")
    parser.add_argument("--output", type=pathlib.Path, help="keep the map in this file")
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--geodeep", metavar="PYTHON")
    options = parser.parse_args()
    silence_tensorflow()
    print(f"{cpu_model()}, bfloat16 instructions: {has_bfloat16()}, AMX: {has_amx()}")
    predictor = TimedPredictor(kd.compile_for_inference(options.model))
    labels, found, taken, before, peak = run_own(predictor, options)
    metres = found["predicted_at_m"]
    scale = 1.0 if metres is None else metres / found["resolution_m"]
    print(
        f"{labels.shape[1]} x {labels.shape[0]} pixels, predicted at {1 / scale:.3g} of their size"
    )
    crops = Crops(options.scene, predictor, scale, options.nodata)
    print("\n| |", " | ".join(COLUMNS), "|\n|---|" + "---|" * len(COLUMNS))

    def show(name, labels, taken, before, peak, borders_of_axis):
        cells = [f"{taken[0]:.0f}", f"{taken[1]:.0f}", f"{labels.size / 1e6 / taken[0]:.2f}"]
        cells += [f"{peak:.0f}", f"{before:.0f}"]
        cells += [f"{ratio:.3f}" for ratio in seams(labels, borders_of_axis)]
        cells.append(f"{crops.agreement(labels):.2%}")
        known = options.nodata is not None
        holes = classes_in_holes(labels, options.scene, options.nodata) if known else 0
        cells.append(f"{holes:.2%}" if known else "")
        print("|", " | ".join([name, *cells]), "|", flush=True)

    def own_borders(length, inner=True):
        found = borders(max(round(length / scale), 1), WINDOW, OVERLAP, inner)
        return {round(border * scale) for border in found}

    name = f"ours, {predictor.runtime}, {predictor.precision}"
    show(name, labels, taken, before, peak, own_borders)
    alone = seams(labels, functools.partial(own_borders, inner=False))
    if options.peer:
        show(*run_peer(options.scene, options.model), lambda length: borders(length, WINDOW, 0))
    if options.geodeep:
        show(*run_geodeep(options.scene, options.model, options.geodeep))
    print("\nours, at the borders of windows alone:", *(f"{ratio:.3f}" for ratio in alone))


if __name__ == "__main__":
    main()
