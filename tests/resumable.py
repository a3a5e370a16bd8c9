"""Runs of several bands that processes can be killed in, with a network that starts at once."""

import json
import os
import pathlib
import signal
import time

import numpy as np
from rasters import write_raster
from toy import start_python, toy_predictor

from keras_deeplab.runtimes.openvino_runtime import RECORD, import_openvino

HEIGHT, WIDTH = 5_000, 60  # five bands, the last of one row of windows
OUTPUTS = ("map.tif", "map.tif.aux.xml", "map.qml", "confidence.tif", "probabilities.tif")

# Arguments: folder, options as JSON. Prints what `predict_raster` returns.
PREDICT = """
import json, pathlib, sys
import keras_deeplab as kd

folder, options = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])
result = kd.predict_raster(
    kd.compile_for_inference(folder / "model.xml", "openvino", "float32"),
    folder / "scene.tif",
    folder / "map.tif",
    confidence=folder / "confidence.tif",
    probabilities=folder / "probabilities.tif",
    progress=False,
    **options,
)
print(json.dumps({**result, "seconds": None}))
"""


def write_scene(folder, height=HEIGHT, width=WIDTH):
    """A scene of noise in blocks, with holes."""
    rng = np.random.default_rng(1)
    image = rng.integers(1, 255, (height // 10 + 1, width // 10 + 1, 3))
    image[rng.random(image.shape[:2]) > 0.9] = 0
    image = image.repeat(10, 0).repeat(10, 1)[:height, :width]
    image[1_000:1_700] = 0
    write_raster(pathlib.Path(folder) / "scene.tif", image.astype("uint8"), nodata=0, tiled=True)


def write_model(folder, kernel=9):
    """`model.xml`: a convolution in the middle of nothing, for OpenVINO."""
    openvino = import_openvino()
    from openvino import opset8 as ops

    rng = np.random.default_rng(0)
    weights = rng.normal(size=(3, 3, kernel, kernel)).astype("float32") / kernel / 100
    image = ops.parameter([-1, -1, -1, 3], np.float32, name="image")
    x = ops.transpose(image, np.array([0, 3, 1, 2]))
    pads = [kernel // 2] * 2
    x = ops.convolution(x, ops.constant(weights), [1, 1], pads, pads, [1, 1])
    model = openvino.Model([ops.transpose(x, np.array([0, 2, 3, 1]))], [image], "toy")
    model.set_rt_info(toy_predictor().network.to_json(), RECORD)
    openvino.save_model(model, pathlib.Path(folder) / "model.xml", compress_to_fp16=False)


def start_run(folder, **options):
    """A process that predicts the scene of a folder."""
    return start_python(PREDICT, folder, json.dumps({"window": 512, **options}))


def stopped_run(folder, count=1, **options):
    """A run that SIGSTOP has stopped after this number of bands, before it has finished all.

    On a busy machine it may be over before it is looked at: then another one is started. Signals
    other than SIGKILL reach it after SIGCONT. Workers of a stopped process wait for it.
    """
    for _ in range(10):
        process = start_run(folder, **options)
        while process.poll() is None and len(records(folder)) < count:
            time.sleep(0.002)
        if process.poll() is None:
            process.send_signal(signal.SIGSTOP)
            how = os.WSTOPPED | os.WEXITED | os.WNOWAIT
            ended = os.waitid(os.P_PID, process.pid, how).si_code != os.CLD_STOPPED
            if not ended and count <= len(records(folder)) < _bands(folder):
                return process
            process.send_signal(signal.SIGCONT)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    raise AssertionError("All runs ended before they could be stopped.")


def _bands(folder):
    """Number of bands of the run that goes on in a folder."""
    run = pathlib.Path(folder) / ".map.tif.parts" / "run.json"
    return json.loads(run.read_text())["key"]["bands"]


def finish_run(folder, **options):
    """What a whole run returns, and what it printed to stderr."""
    process = start_run(folder, **options)
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return json.loads(said), errors


def outputs(folder):
    """Bytes of all files of the maps."""
    paths = [pathlib.Path(folder) / name for name in OUTPUTS]
    return {path.name: path.read_bytes() for path in paths if path.exists()}


def records(folder):
    """Time of each record of a finished band that an interrupted run left."""
    found = (pathlib.Path(folder) / ".map.tif.parts").glob("0*.json")
    return {path.name: path.stat().st_mtime_ns for path in found}


def hidden(folder):
    """Names of the hidden files of a folder."""
    return sorted(path.name for path in pathlib.Path(folder).iterdir() if path.name[0] == ".")
