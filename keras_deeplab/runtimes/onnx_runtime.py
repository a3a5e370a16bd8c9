"""ONNX Runtime. A converted file serves one size: with open sides it takes a third longer."""

from __future__ import annotations

import contextlib
import os
import pathlib
import typing
from collections.abc import Iterator

import numpy as np

from keras_deeplab._internal.errors import InputError

if typing.TYPE_CHECKING:
    import keras

    from keras_deeplab.runtimes.predictor import Engine

SUFFIX = ".onnx"
ANY_SIZE = False
RECORD = "keras_deeplab"  # in the metadata of the file


def convert(model: keras.Model, size: tuple[int, int] | None, path: pathlib.Path, record: str):
    """Writes a Keras model as an ONNX file, float32."""
    import onnx
    import tf2onnx

    from keras_deeplab.runtimes.keras_runtime import inference_function

    function = inference_function(model, size)
    # With any value of this variable tf2onnx copies the weights less often: gigabytes less.
    with _variable("TF2ONNX_CATCH_ERRORS", "FALSE"):
        converted, _ = tf2onnx.convert.from_function(function, function.input_signature)
    onnx.helper.set_model_props(converted, {RECORD: record})
    onnx.save_model(converted, path)


@contextlib.contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """Sets an environment variable that is not set, for a while."""
    given = name in os.environ
    os.environ.setdefault(name, value)
    try:
        yield
    finally:
        if not given:
            del os.environ[name]


def read_record(path: pathlib.Path) -> str | None:
    """The record that `convert` was given; `None` for a file of another tool."""
    return _session(path).get_modelmeta().custom_metadata_map.get(RECORD)


def image_size(path: pathlib.Path) -> tuple[int | None, int | None]:
    """Height and width of the images that a file takes; `None` where any will do."""
    sides = _session(path).get_inputs()[0].shape[1:3]
    height, width = (side if isinstance(side, int) else None for side in sides)
    return height, width


def compile_file(path: pathlib.Path, size: tuple[int, int], precision: str) -> Engine:
    """Compiles a converted model."""
    session = _session(path)
    (entry,) = session.get_inputs()

    def logits(images: np.ndarray) -> np.ndarray:
        return session.run(None, {entry.name: images})[0]

    return logits


def _session(path: pathlib.Path) -> typing.Any:
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # official builds for Windows send some
    try:
        return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:  # of classes that onnxruntime does not export
        raise InputError(f"{path} cannot be read as an ONNX model: {error}") from error
