"""ONNX Runtime. A file in the cache serves one size: with open sides it takes a third longer."""

from __future__ import annotations

import contextlib
import os
import pathlib
import typing
from collections.abc import Iterator, Mapping

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab.runtimes.tensor_form import NATIVE, TensorForm
from keras_deeplab.runtimes.threads import told_threads

if typing.TYPE_CHECKING:
    import keras

    from keras_deeplab.runtimes.predictor import Engine

SUFFIX = ".onnx"
ANY_SIZE = False
RECORD = "keras_deeplab"  # in the metadata of the file


def convert(
    model: keras.Model,
    size: tuple[int, int] | None,
    path: pathlib.Path,
    record: str | None = None,
    *,
    form: TensorForm = NATIVE,
) -> None:
    """Writes a Keras model as an ONNX file, float32."""
    import onnx
    import tf2onnx

    from keras_deeplab.runtimes.keras_runtime import inference_function

    function = inference_function(model, size, form=form)
    # With any value of this variable tf2onnx copies the weights less often: gigabytes less.
    with _variable("TF2ONNX_CATCH_ERRORS", "FALSE"):
        converted, _ = tf2onnx.convert.from_function(function, function.input_signature)
    if record is not None:
        onnx.helper.set_model_props(converted, {RECORD: record})
    onnx.save_model(converted, path)


def write_record(
    path: pathlib.Path, record: str, properties: Mapping[str, str] | None = None
) -> None:
    """Adds the record to a file that `convert` wrote without one, and properties for others."""
    import onnx

    model = onnx.load_model(path)
    onnx.helper.set_model_props(model, {RECORD: record, **(properties or {})})
    onnx.save_model(model, path)


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


def input_shape(path: pathlib.Path) -> list[int | None]:
    """Shape of the images that a file takes; `None` for a side of any length."""
    shape = _session(path).get_inputs()[0].shape
    return [side if isinstance(side, int) else None for side in shape]


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
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = told_threads() or 0  # 0: all
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of classes that onnxruntime does not export
        raise InputError(f"{path} cannot be read as an ONNX model: {error}") from error
