"""`keras_deeplab.compile_for_inference`: the predictor of a model."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import typing
from collections.abc import Iterator

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab.models.inputs import MIN_SIZE, check_fixed_size
from keras_deeplab.runtimes.converted import converted_model
from keras_deeplab.runtimes.exported import (
    exported_network,
    exported_predictor,
    runtime_of_exported,
)
from keras_deeplab.runtimes.predictor import Engine, Network, Predictor
from keras_deeplab.runtimes.registry import (
    AUTO,
    INT8,
    Runtime,
    check_precision,
    get_runtime,
    measured_runtimes,
    native,
)
from keras_deeplab.runtimes.selection import Candidate, choose
from keras_deeplab.runtimes.source import ModelSource, find_source

if typing.TYPE_CHECKING:
    import keras

VARIABLES = {"runtime": "KERAS_DEEPLAB_RUNTIME", "precision": "KERAS_DEEPLAB_PRECISION"}


def compile_for_inference(
    model: keras.Model | StrPath,
    runtime: str = AUTO,
    precision: str = AUTO,
    tile: int | None = None,
) -> Predictor:
    """Compiles a model for fast inference.

    The first time, a model is converted for its runtime, and kept in the cache folder
    (`$KERAS_DEEPLAB_HOME/runtimes`). Later it is read from there, without importing TensorFlow.

    Args:
        model: Zoo name, folder of a training run, `.keras` file, `keras.Model` of logits, or a file
            of a runtime (`.xml`, `.onnx`, `.tflite`) that this package converted. The predictor has
            the weights of now: later changes of a `keras.Model` do not reach it.
        runtime: `"keras"`, `"openvino"`, `"onnx"` (extra `[onnx]`) or `"litert"` (extra
            `[litert]`). `"auto"` takes the fastest of Keras and OpenVINO (of all that are
            installed, where OpenVINO is not) that gives the classes of Keras in float32 on at
            least 99.5 % of the pixels of the model's check image. It is measured once for every
            model, processor and version of the runtimes.
        precision: `"float32"`, or `"bfloat16"`. `"auto"` lets the same measurement decide; it
            leaves out bfloat16 on processors without instructions for it, and for models without
            a check image. A file that was quantised to `"int8"` has that precision alone.
        tile: Side in pixels of the images to come, compiled now and not at the first call; other
            sizes are compiled when they come. `None` compiles each size at its first call.

    Returns:
        `Predictor`.

    The environment variables `KERAS_DEEPLAB_RUNTIME` and `KERAS_DEEPLAB_PRECISION` replace
    `"auto"`.

    Raises:
        ValueError: For an unknown model, runtime or precision, a runtime that is not installed, and
            a tile below 32.

    Example:

    >>> predictor = kd.compile_for_inference("r18_dubai")
    >>> predictor(np.zeros((1, 256, 256, 3), "uint8")).shape
    (1, 256, 256, 5)
    """
    if tile is not None and tile < MIN_SIZE:
        raise InputError(f"tile must be {MIN_SIZE} pixels or more, got {tile}.")
    own = _runtime_of(model)
    if own is None:
        source = find_source(model)
        runtimes, precision = _possible(source.network.name, None, runtime, precision)
        predictor = _compile(source, runtimes, precision)
    else:
        _, precision = _possible(os.fspath(model), own, runtime, precision)
        predictor = exported_predictor(model, own, precision)
    if isinstance(model, (str, os.PathLike)):
        predictor.source = os.fspath(model)
    if tile is not None:
        predictor.compile((tile, tile))
    return predictor


def find_network(model: keras.Model | StrPath) -> Network:
    """What is known of a model, before it is compiled: `Predictor.network`."""
    own = _runtime_of(model)
    return find_source(model).network if own is None else exported_network(model, own)


def stored_precision(model: keras.Model | StrPath) -> str | None:
    """The one precision of a quantised file; `None` for a model that leaves the choice."""
    own = _runtime_of(model)
    return INT8 if own is not None and own.precisions == (INT8,) else None


def _runtime_of(model: keras.Model | StrPath) -> Runtime | None:
    """The runtime that reads a file, with its precisions; `None` for any other model."""
    return runtime_of_exported(model) if isinstance(model, (str, os.PathLike)) else None


def _possible(
    name: str, own: Runtime | None, runtime: str, precision: str
) -> tuple[list[Runtime], str]:
    """The runtimes to choose from, and the precision.

    Args:
        name: What to call the model in errors.
        own: The runtime of an exported file; `None` for any other model.
        runtime: The option.
        precision: The option.

    Raises:
        ValueError: When the model cannot be computed in this way.
    """
    with _from_environment(runtime=runtime, precision=precision) as chosen:
        runtime, precision = chosen["runtime"], chosen["precision"]
        runtimes = measured_runtimes() if runtime == AUTO else [get_runtime(runtime)]
        if own is not None:
            if runtime not in (AUTO, own.name):
                raise InputError(f"{name} is a file of runtime {own.name!r}, not of {runtime!r}.")
            runtimes = [own]
        check_precision(precision, runtimes, name)
    return runtimes, precision


@contextlib.contextmanager
def _from_environment(**options: str) -> Iterator[dict[str, str]]:
    """Replaces `"auto"` by the variables; an `InputError` in the `with` block names those used."""
    found = {key: os.environ.get(VARIABLES[key]) for key in options if options[key] == AUTO}
    used = {key: value for key, value in found.items() if value}
    try:
        yield {**options, **used}
    except InputError as error:
        if not used:
            raise
        names = ", ".join(f"{VARIABLES[key]}={value}" for key, value in used.items())
        raise InputError(f"{names}: {error}") from error


def _compile(source: ModelSource, runtimes: list[Runtime], precision: str) -> Predictor:
    candidates = [
        Candidate(each, known)
        for each in runtimes
        for known in each.precisions
        if precision == known or (precision == AUTO and native(known))
    ]
    chosen = choose(source, candidates, compile_candidate)
    return compile_candidate(source, chosen)


def compile_candidate(source: ModelSource, candidate: Candidate) -> Predictor:
    """The predictor of a runtime and a precision."""
    runtime, precision = candidate
    if runtime.name == "keras":
        from keras_deeplab.runtimes.keras_runtime import predictor_of, with_precision

        model = with_precision(source.float32_model, precision)
        return predictor_of(model, source.network, precision, source.weights_sha256)
    key = source.key  # now, as the weights in a folder may change before the first call
    compile_size = functools.partial(_compile_size, source, key, runtime, precision)
    return Predictor(source.network, runtime.name, precision, compile_size, source.weights_sha256)


def _compile_size(
    source: ModelSource, key: str, runtime: Runtime, precision: str, size: tuple[int, int]
) -> Engine:
    check_fixed_size(source.network.name, source.size, size)
    module = runtime.module
    fixed = None if module.ANY_SIZE else size
    # With the versions: an older runtime may not read what a newer one wrote.
    name = "-".join([runtime.name, *runtime.versions.values()])
    name += "" if fixed is None else f"-{size[0]}x{size[1]}"
    file = f"model{runtime.suffix}"

    def convert(folder: pathlib.Path) -> None:
        module.convert(source.float32_model, fixed, folder / file, source.network.to_json())

    with converted_model(key, name, convert) as folder:
        return module.compile_file(folder / file, size, precision)
