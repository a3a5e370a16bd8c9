"""A predictor whose right answer is known: the class of a pixel is its brightest channel."""

import os
import pathlib
import subprocess
import sys
from unittest import mock

import numpy as np

from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.runtimes.predictor import Network, Predictor
from keras_deeplab.zoo.metadata import ModelMetadata

NAMES = ("red", "green", "blue")


def toy_predictor(function=lambda images: images, *, names=NAMES, classes=3, **metadata):
    """`Predictor` of a function from float32 images `(N, H, W, 3)` to logits."""
    known = ModelMetadata("toy", ClassTable(names), name="toy", **metadata)
    network = Network("toy", known, known.num_channels, classes, True)
    return Predictor(network, "keras", "float32", lambda size: function)


def toy_labels(image, valid=None):
    """Class indices that the toy has to find in `(H, W, 3)`; 255 without data."""
    labels = np.asarray(image).argmax(-1).astype(np.uint8)
    if valid is not None:
        labels[~valid] = 255
    return labels


def toy_command(arguments, function=lambda images: images, **metadata):
    """Runs `keras-deeplab` with these arguments; any `--model` is the toy."""
    from keras_deeplab.commands.group import main

    with toy_models(function, **metadata):
        main(list(map(str, arguments)))


def toy_models(function=lambda images: images, **metadata):
    """Within it every model of a command is the toy."""
    from keras_deeplab.runtimes import compiling

    predictor = toy_predictor(function, **metadata)
    return mock.patch.multiple(
        compiling,
        find_network=lambda model: predictor.network,
        compile_for_inference=lambda *options: predictor,
    )


def start_python(code, *arguments, **options):
    """Starts Python code in a process that finds these helpers."""
    path = os.pathsep.join([str(pathlib.Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
