"""Every installed runtime with each of its precisions, models to compile, and new processes."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from rasters import write_raster
from tiny import tiny_networks

import keras_deeplab as kd
from keras_deeplab._internal.files import write_json
from keras_deeplab.checkpoints.keras_files import save_keras_weights
from keras_deeplab.runtimes.registry import installed_runtimes
from keras_deeplab.zoo.run_folders import run_record

# bfloat16 keeps 8 bits of a number; it runs everywhere, if slowly where it is not native.
CASES = [
    pytest.param(runtime.name, precision, id=f"{runtime.name}-{precision}")
    for runtime in installed_runtimes()
    for precision in runtime.precisions
]
NAMES = [runtime.name for runtime in installed_runtimes()]
FILES = [runtime.name for runtime in installed_runtimes() if runtime.suffix]

PATHS = [str(pathlib.Path(kd.__file__).parents[1]), str(pathlib.Path(__file__).parents[1])]
IMAGES = np.random.default_rng(0).integers(0, 256, (1, 40, 48, 3), "uint8")


def write_run(folder, classes=3, *, check_image=None):
    """Writes a run folder of the tiny network; returns the model."""
    with tiny_networks():
        model = kd.build("r18_d16", classes)
    folder.mkdir(parents=True, exist_ok=True)
    save_keras_weights(model, folder / "best.weights.h5")
    write_json(folder / "run.json", run_record(model.metadata))
    if check_image is not None:
        write_raster(folder / "check_image.tif", check_image)
    return model


def start_python(code, *arguments):
    """A new process with this cache folder; its `sys.argv` are the arguments."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(PATHS)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    """What a process printed, and what it logged; an error when it failed."""
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    return output, errors


def run_python(code, *arguments):
    """What a new process printed, and what it logged."""
    return finish(start_python(code, *arguments))
