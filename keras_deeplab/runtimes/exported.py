"""A file of a runtime as a predictor: what this package converted, in the cache or elsewhere."""

from __future__ import annotations

import dataclasses
import functools
import pathlib

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath, file_sha256
from keras_deeplab.runtimes.export_record import export_of_record, form_of_record
from keras_deeplab.runtimes.padding import padded
from keras_deeplab.runtimes.predictor import Engine, Network, Predictor, network_from_json
from keras_deeplab.runtimes.registry import AUTO, INT8, Runtime, runtime_of_file
from keras_deeplab.runtimes.tensor_form import TensorForm, with_native_form


def exported_network(path: StrPath, runtime: Runtime) -> Network:
    """The `Network` of a file.

    Raises:
        ValueError: When the file cannot be read, or is of another tool.
    """
    return _read_file(path, runtime)[0]


def _read_file(path: StrPath, runtime: Runtime) -> tuple[Network, TensorForm]:
    path = _existing(path)
    record = runtime.module.read_record(path)
    if record is None:
        raise InputError(
            f"{path} does not say what it is: it has no entry 'keras_deeplab' in its metadata, so "
            "its classes, channels and value range are unknown."
        )
    network = network_from_json(record, where=str(path))
    return network, form_of_record(record, where=str(path))


def runtime_of_exported(path: StrPath) -> Runtime | None:
    """The runtime of a file, with the precisions of this file; `None` for no file of a runtime.

    Raises:
        ValueError: When the file cannot be read.
    """
    runtime = runtime_of_file(path)
    if runtime is None or runtime.name != "openvino":
        return runtime
    export = export_of_record(runtime.module.read_record(_existing(path)))
    if not isinstance(export, dict) or export.get("precision") != INT8:
        return runtime
    return dataclasses.replace(runtime, precisions=(INT8,))


def _existing(path: StrPath) -> pathlib.Path:
    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}.")
    return path


def exported_predictor(path: StrPath, runtime: Runtime, precision: str) -> Predictor:
    """The predictor of a file; `"auto"` is float32, as there is no image to check others with.

    A quantised file has no other precision than int8.

    Args:
        path: The file.
        runtime: That of `runtime_of_exported`.
        precision: One of the runtime's, or `"auto"`.

    Raises:
        ValueError: When the file cannot be read, or is of another tool.
    """
    network, form = _read_file(path, runtime)
    precision = runtime.precisions[0] if precision == AUTO else precision
    path = pathlib.Path(path)
    fixed = form.size_of(runtime.module.input_shape(path))

    @functools.lru_cache(maxsize=1)  # smaller images of several sizes share that of the one size
    def engine(size: tuple[int, int]) -> Engine:
        return with_native_form(runtime.module.compile_file(path, size, precision), form)

    def compile_size(size: tuple[int, int]) -> Engine:
        taken = _taken_size(path, fixed, size)
        return padded(engine(taken), taken, size)

    # OpenVINO keeps the weights in a file next to the description of the network.
    weights = path.with_suffix(".bin") if runtime.name == "openvino" else path
    digest = functools.partial(file_sha256, weights)
    return Predictor(network, runtime.name, precision, compile_size, digest, size=fixed)


def _taken_size(
    path: pathlib.Path, fixed: tuple[int | None, int | None], size: tuple[int, int]
) -> tuple[int, int]:
    """The size that a file takes images of a size in: mirrored up to its own, if it has one.

    Raises:
        ValueError: When they are larger.
    """
    height, width = (only or asked for only, asked in zip(fixed, size, strict=True))
    if size[0] > height or size[1] > width:
        side = min(height, width)
        raise InputError(
            f"{path} takes images of up to {height} x {width} pixels, got {size[0]} x {size[1]}: "
            f"predict by windows, with window={side} or --window {side}."
        )
    return height, width
