"""GeoDeep as a peer of `scene.py`, in an environment of its own: it needs other dependencies.

    python -m venv geodeep
    geodeep/bin/pip install geodeep

GeoDeep reads an ONNX segmentation model with images `(1, 3, H, W)` from 0 to 1, which gives the
probabilities `(1, classes, H, W)`, and a few entries in its metadata. Here it gets the same network
and windows of the same size; its overlap and its median filter are its own. Small areas are kept,
and so is the class of pixels whose best probability is below one half.
"""

import json
import pathlib
import subprocess
import tempfile

import numpy as np

import keras_deeplab as kd
from keras_deeplab.prediction.raster.scenes import WINDOW

OVERLAP = 0.05  # GeoDeep's default
RUN = """
import importlib.metadata, json, pathlib, sys, time
import geodeep, numpy, onnxruntime

def memory(field):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return [int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(field)][0]

scene, model, target = sys.argv[1:]
def clocks():
    return numpy.array([time.perf_counter(), time.process_time()])

before, start = memory("VmRSS"), clocks()
mask = geodeep.segment(scene, model)
taken = list(clocks() - start)
peak = memory("VmHWM")
numpy.save(target, mask)
print(json.dumps([importlib.metadata.version("geodeep"), taken, before, peak]))
"""


def write_onnx(model, path):
    """Writes a model of the zoo as GeoDeep reads it."""
    import keras
    import onnx
    import tensorflow as tf
    import tf2onnx

    own = kd.load(model)

    @tf.function
    def probabilities(images):
        logits = own(keras.ops.transpose(images * 255.0, (0, 2, 3, 1)), training=False)
        return keras.ops.transpose(keras.ops.softmax(logits), (0, 3, 1, 2))

    signature = [tf.TensorSpec((1, 3, WINDOW, WINDOW), tf.float32, name="images")]
    converted, _ = tf2onnx.convert.from_function(probabilities, signature)
    names = dict(enumerate(own.metadata.classes.names))
    entries = {
        "model_type": "Segmentor",
        "class_names": names,
        "resolution": 1,  # cm per pixel; finer than the scene, so that it is predicted as it is
        "tiles_overlap": 100 * OVERLAP,
        "seg_thresh": 0,
        "seg_small_segment": 0,
    }
    entries = {key: json.dumps(value) for key, value in entries.items()}
    onnx.helper.set_model_props(converted, entries)
    onnx.save_model(converted, path)


def borders(length):
    """Where GeoDeep's windows meet: it cuts off half of the overlap, and the later one counts."""
    overlap = int(WINDOW * OVERLAP)
    starts = range(WINDOW - overlap, length - WINDOW, WINDOW - overlap)
    return {start + overlap // 2 for start in (*starts, length - WINDOW)}


def run_geodeep(scene, model, python):
    """Name, class indices, seconds, memory before (without model) and at its peak, `borders`."""
    with tempfile.TemporaryDirectory() as folder:
        file, target = pathlib.Path(folder) / "model.onnx", pathlib.Path(folder) / "mask.npy"
        write_onnx(model, file)
        command = [python, "-c", RUN, scene, file, target]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        version, taken, before, peak = json.loads(output.splitlines()[-1])
        labels = np.load(target)
    return f"GeoDeep {version}, ONNX Runtime, float32", labels, taken, before, peak, borders
