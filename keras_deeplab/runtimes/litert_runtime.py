"""LiteRT, formerly TensorFlow Lite. A file in the cache serves one size; one image at a time."""

from __future__ import annotations

import pathlib
import tempfile
import threading
import typing

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.stderr import capture_stderr
from keras_deeplab.runtimes.threads import processors, told_threads

if typing.TYPE_CHECKING:
    import keras

    from keras_deeplab.runtimes.predictor import Engine

SUFFIX = ".tflite"
ANY_SIZE = False
RECORD = b"keras_deeplab"  # name of the entry in the metadata of the file


def convert(
    model: keras.Model,
    size: tuple[int, int] | None,
    path: pathlib.Path,
    record: str | None = None,
) -> None:
    """Writes a Keras model as a LiteRT file, float32."""
    import tensorflow as tf

    from keras_deeplab.runtimes import saved_model

    # Through a SavedModel: from the function itself the converter takes twice the time and memory.
    with tempfile.TemporaryDirectory() as folder:
        saved_model.convert(model, size, pathlib.Path(folder), batch=1)
        content = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
    path.write_bytes(content if record is None else _with_record(content, record))


def write_record(path: pathlib.Path, record: str) -> None:
    """Adds the record to a file that `convert` wrote without one."""
    path.write_bytes(_with_record(path.read_bytes(), record))


def _with_record(content: bytes, record: str) -> bytes:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(record.encode(), np.uint8)
    entry = schema.MetadataT()
    entry.name, entry.buffer = RECORD, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def read_record(path: pathlib.Path) -> str | None:
    """The record that `convert` was given; `None` for a file of another tool."""
    from ai_edge_litert import schema_py_generated as schema

    _interpreter(path)  # refuses what is not a model
    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    for index in range(model.MetadataLength()):
        entry = model.Metadata(index)
        if entry.Name() == RECORD:
            buffer = model.Buffers(entry.Buffer())
            return bytes(buffer.Data(i) for i in range(buffer.DataLength())).decode()
    return None


def input_shape(path: pathlib.Path) -> list[int | None]:
    """Shape of the images that a file takes; `None` for a side of any length."""
    shape = _interpreter(path).get_input_details()[0]["shape_signature"].tolist()
    return [None if side < 0 else side for side in shape]


def compile_file(path: pathlib.Path, size: tuple[int, int], precision: str) -> Engine:
    """Compiles a converted model."""
    interpreter = _interpreter(path)
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    if -1 in source["shape_signature"]:
        shape = (1, *size, int(source["shape"][-1]))
        interpreter.resize_tensor_input(source["index"], shape, strict=True)
    with capture_stderr():  # it reports that it takes XNNPACK, as always
        interpreter.allocate_tensors()
    lock = threading.Lock()  # its buffers belong to one call at a time

    def one(image: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(source["index"], image[np.newaxis])
        interpreter.invoke()
        return interpreter.get_tensor(target["index"])

    def logits(images: np.ndarray) -> np.ndarray:
        with lock:
            return np.concatenate([one(image) for image in images])

    return logits


def _interpreter(path: pathlib.Path) -> typing.Any:
    from ai_edge_litert.interpreter import Interpreter

    try:
        return Interpreter(str(path), num_threads=told_threads() or processors())
    except ValueError as error:
        raise InputError(f"{path} cannot be read as a LiteRT model: {error}") from error
