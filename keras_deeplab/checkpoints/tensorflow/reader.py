"""Reading official TensorFlow checkpoints: `keras_deeplab.read_tensorflow_checkpoint`."""

import contextlib
import dataclasses
import glob
import math
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_deeplab._internal.files import StrPath
from keras_deeplab.checkpoints.errors import CheckpointError
from keras_deeplab.checkpoints.tensorflow.archives import CHECKPOINT_FILE, unpacked_checkpoint

ARCHIVE_SUFFIXES = (".tar.gz", ".tgz")
STEP = "global_step"
# What optimizers and moving averages keep of a variable, under its name and one of these.
SLOTS = ("Momentum", "RMSProp", "RMSProp_1", "Adam", "Adam_1", "ExponentialMovingAverage")
COUNTERS = {STEP, "beta1_power", "beta2_power"}


@dataclasses.dataclass(frozen=True)
class TensorFlowCheckpoint:
    """Content of a checkpoint.

    Attributes:
        state_dict: Arrays in TensorFlow layout by variable name, for example
            `"MobilenetV2/Conv/weights"` `(height, width, in, out)`.
        meta: `global_step`, the number of training steps, where the checkpoint has it.
    """

    state_dict: dict[str, np.ndarray]
    meta: dict[str, Any]


def is_tensorflow_checkpoint(path: StrPath) -> bool:
    """Whether a path is that of an archive, of a file of a checkpoint, or the prefix of one."""
    path = pathlib.Path(path)
    named = path.name.endswith(ARCHIVE_SUFFIXES) or CHECKPOINT_FILE.fullmatch(path.name)
    return bool(named) or path.with_name(f"{path.name}.index").is_file()


def read_tensorflow_checkpoint(path: StrPath) -> TensorFlowCheckpoint:
    """Reads a checkpoint of TensorFlow 1's `Saver`, such as the official ones of DeepLab.

    Args:
        path: A `.tar.gz` archive as published; or the `.index` file, a `.data-00000-of-00001` file
            or the common prefix of both. An archive is unpacked to a temporary folder.

    Returns:
        The variables. The state of optimizers, moving averages of weights, and the frozen graph of
        an archive are not read.

    Raises:
        CheckpointError: When a file is missing, damaged, malicious or of another format.
    """
    path = pathlib.Path(path)
    try:
        with _prefix(path) as prefix:
            return _read(prefix, path)
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise CheckpointError(f"{error.filename or path}: {reason}.") from error


@contextlib.contextmanager
def _prefix(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """The common prefix of the files of the checkpoint, while they exist."""
    if path.name.endswith(ARCHIVE_SUFFIXES):
        with unpacked_checkpoint(path) as prefix:
            yield prefix
        return
    found = CHECKPOINT_FILE.fullmatch(path.name)
    yield path if found is None else path.with_name(found["prefix"])


def _read(prefix: pathlib.Path, path: pathlib.Path) -> TensorFlowCheckpoint:
    _check_files(prefix, path)
    import tensorflow as tf

    try:
        # The TypeError of a name that is not UTF-8 is the binding's.
        reader = tf.train.load_checkpoint(str(prefix))
        shapes = reader.get_variable_to_shape_map()
        dtypes = reader.get_variable_to_dtype_map()
        _check_sizes(shapes, dtypes, prefix, path)
        names = [name for name in shapes if not _is_left_aside(name, shapes)]
        arrays = {name: np.asarray(reader.get_tensor(name)) for name in sorted(names)}
        meta = {STEP: int(reader.get_tensor(STEP))} if shapes.get(STEP) == [] else {}
    except (tf.errors.OpError, RuntimeError, ValueError, TypeError, MemoryError) as error:
        if isinstance(error, CheckpointError):
            raise
        message = getattr(error, "message", None) or str(error)
        message = message.replace(str(prefix), prefix.name).strip().rstrip(".")
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint of TensorFlow: {message}."
        ) from error
    odd = [f"{name} ({array.dtype})" for name, array in arrays.items() if array.dtype.kind != "f"]
    if odd:
        raise CheckpointError(f"{path}: weights are floating-point numbers, but {odd[0]} is not.")
    return TensorFlowCheckpoint(arrays, meta)


def _check_files(prefix: pathlib.Path, path: pathlib.Path) -> None:
    """Raises a `CheckpointError` when a file of the checkpoint is missing."""
    index = prefix.with_name(f"{prefix.name}.index")
    if not (index.is_file() and _data_files(prefix)):
        missing = ".data-00000-of-00001" if index.is_file() else ".index"
        raise CheckpointError(
            f"{path}: {prefix.name}{missing} is missing. A checkpoint of TensorFlow is an .index "
            "file next to its .data files, or a .tar.gz archive with both."
        )


def _data_files(prefix: pathlib.Path) -> list[pathlib.Path]:
    return list(prefix.parent.glob(f"{glob.escape(prefix.name)}.data-*-of-*"))


def _check_sizes(
    shapes: dict[str, list[int]], dtypes: dict[str, Any], prefix: pathlib.Path, path: pathlib.Path
) -> None:
    """Raises a `CheckpointError` when the variables need more bytes than the files have.

    TensorFlow allocates a tensor before it looks whether the file has so many bytes.
    """
    needed = sum(math.prod(shape) * dtypes[name].size for name, shape in shapes.items())
    available = sum(file.stat().st_size for file in _data_files(prefix))
    if needed > available:
        raise CheckpointError(
            f"{path} is damaged: its variables need {needed} bytes, its data have {available}."
        )


def _is_left_aside(name: str, names: Any) -> bool:
    """Whether an entry is a counter, or what an optimizer keeps of another variable."""
    variable, _, slot = name.rpartition("/")
    return name in COUNTERS or (slot in SLOTS and variable in names)
