"""The OpenVINO runtime: the fastest one on most processors. One converted file serves all sizes."""

from __future__ import annotations

import importlib
import pathlib
import sys
import tempfile
import threading
import typing

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.signal_stack import same_signal_stack
from keras_deeplab.runtimes.threads import told_threads

if typing.TYPE_CHECKING:
    import keras

    from keras_deeplab.runtimes.predictor import Engine

SUFFIX = ".xml"
ANY_SIZE = True
# OpenVINO's own default is the lower precision. What is not quantised in an int8 model is float32.
HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}
RECORD = "keras_deeplab"  # in the runtime information of the file
QUANTIZATION = "keras_deeplab_int8"  # there in a quantised file: how it was made, as JSON text


def import_openvino() -> typing.Any:
    """The module `openvino`, imported without its telemetry."""
    return _without_telemetry("openvino")


def import_nncf() -> typing.Any:
    """The module `nncf`, imported without its telemetry."""
    import_openvino()  # which it imports
    return _without_telemetry("nncf")


def _without_telemetry(package: str) -> typing.Any:
    """A package that sends messages to a server where it can import `openvino_telemetry`.

    With that package in place, the import of OpenVINO alone sends one. OpenVINO and NNCF work
    without it, and then send nothing.
    """
    telemetry = "openvino_telemetry"
    if package in sys.modules or telemetry in sys.modules:
        return importlib.import_module(package)
    sys.modules[telemetry] = None  # type: ignore[assignment]  # imports of it fail
    try:
        return importlib.import_module(package)
    finally:
        del sys.modules[telemetry]


@same_signal_stack()
def convert(
    model: keras.Model,
    size: tuple[int, int] | None,
    path: pathlib.Path,
    record: str | None = None,
) -> None:
    """Writes a Keras model as OpenVINO IR, float32, `path` and a `.bin` file next to it."""
    from keras_deeplab.runtimes.keras_runtime import inference_function

    openvino = import_openvino()
    converted = openvino.convert_model(inference_function(model, size).get_concrete_function())
    if record is not None:
        converted.set_rt_info(record, RECORD)
    save(converted, path)


@same_signal_stack()
def write_record(path: pathlib.Path, record: str) -> None:
    """Adds the record to a file that `convert` wrote without one."""
    model = _read_model(path)
    model.set_rt_info(record, RECORD)
    # Into other files, as the weights of the model are read from these when they are needed.
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        new = pathlib.Path(folder) / path.name
        save(model, new)
        del model
        new.with_suffix(".bin").replace(path.with_suffix(".bin"))
        new.replace(path)


@same_signal_stack()
def save(model: typing.Any, path: pathlib.Path) -> None:
    """Writes a model of OpenVINO, `path` and a `.bin` file next to it, without rounding weights."""
    try:
        import_openvino().save_model(model, path, compress_to_fp16=False)
    except RuntimeError as error:
        raise OSError(f"OpenVINO cannot write, is the disk full? ({_reason(error)})") from error


def read_record(path: pathlib.Path) -> str | None:
    """The record that `convert` was given; `None` for a file of another tool."""
    model = _read_model(path)
    return str(model.get_rt_info(RECORD).value) if model.has_rt_info(RECORD) else None


def read_quantization(path: pathlib.Path) -> str | None:
    """How a file was quantised to int8 by `quantizing.quantize`; `None` for any other file."""
    model = _read_model(path)
    return str(model.get_rt_info(QUANTIZATION).value) if model.has_rt_info(QUANTIZATION) else None


def input_shape(path: pathlib.Path) -> list[int | None]:
    """Shape of the images that a file takes; `None` for a side of any length."""
    shape = _read_model(path).input().partial_shape
    return [None if side.is_dynamic else side.get_length() for side in shape]


@same_signal_stack()
def compile_file(path: pathlib.Path, size: tuple[int, int], precision: str) -> Engine:
    """Compiles a converted model for images of a size; any number of them at a time."""
    model = _read_model(path)
    shape = model.input().partial_shape
    shape[1], shape[2] = size
    model.reshape(shape)
    options: dict[str, typing.Any] = {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "PERFORMANCE_HINT": "LATENCY",
    }
    threads = told_threads()
    if threads is not None:
        options["INFERENCE_NUM_THREADS"] = threads
    compiled = import_openvino().compile_model(model, "CPU", options)
    lock = threading.Lock()  # its buffers belong to one call at a time

    def logits(images: np.ndarray) -> np.ndarray:
        with lock, same_signal_stack():
            return compiled(images)[0].copy()

    return logits


def _read_model(path: pathlib.Path) -> typing.Any:
    try:
        return import_openvino().Core().read_model(path)
    except RuntimeError as error:
        raise InputError(f"{path} cannot be read as OpenVINO IR: {_reason(error)}") from error


def _reason(error: RuntimeError) -> str:
    return str(error).strip().splitlines()[-1]  # after the lines of its source code
