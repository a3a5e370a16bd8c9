"""Reading PyTorch checkpoints without PyTorch: `keras_deeplab.read_torch_checkpoint`.

The pickle in the file is read by an interpreter that executes nothing (`pickle_machine.py`).
Tensors are views of the memory-mapped file.
"""

import dataclasses
import logging
import mmap
import pathlib
from typing import Any, BinaryIO

import numpy as np

from keras_deeplab._internal.files import StrPath
from keras_deeplab.checkpoints.errors import CheckpointError
from keras_deeplab.checkpoints.pytorch.containers import open_container
from keras_deeplab.checkpoints.pytorch.known_calls import PickledArray, known_calls
from keras_deeplab.checkpoints.pytorch.memory_budget import MemoryBudget
from keras_deeplab.checkpoints.pytorch.pickled_values import PlainValues, shown
from keras_deeplab.checkpoints.pytorch.tensors import TENSOR_CALLS, TensorReader, TensorReference

WRAPPER_PREFIX = "module."  # added by DataParallel
# Keys of the state dict, best first: of mmcv and Lightning, of other training code, of timm.
STATE_DICTS = ("state_dict", "model", "model_state_dict", "net", "network", "state_dict_ema")
MIN_META_VALUES = 1000

logger = logging.getLogger("keras_deeplab")


@dataclasses.dataclass(frozen=True)
class TorchCheckpoint:
    """Content of a checkpoint file.

    Attributes:
        state_dict: Arrays in PyTorch layout by parameter name.
        meta: Metadata: dicts, lists, scalars, arrays, and stand-ins with `name`, `args`, `state`
            and `items` for objects of other classes. Empty for a bare state dict.
    """

    state_dict: dict[str, np.ndarray]
    meta: dict[Any, Any]


def read_torch_checkpoint(path: StrPath) -> TorchCheckpoint:
    """Reads a `.pth` file written by `torch.save`, without PyTorch.

    Nothing in the file is executed or imported: classes and functions other than those of tensors,
    dicts and NumPy values become inert stand-ins. Reads both formats: that of PyTorch 1.6 and
    later, and the legacy format.

    Args:
        path: The file: a dict with the key `"state_dict"`, as mmcv and mmengine save it, or one of
            `"model"`, `"model_state_dict"`, `"net"`, `"network"` and `"state_dict_ema"`; or a bare
            state dict. Of several, the first in this order is read, and a log message says which.
            Other entries, such as the state of the optimizer, are not read.

    Returns:
        The arrays of `state_dict` are read-only views of the memory-mapped file. Do not overwrite
        the file while they are in use, and copy an array before changing it. A leading `module.` is
        removed from the names. Dtypes that NumPy lacks are widened: bfloat16 and float8 to float32,
        complex32 to complex64.

    Raises:
        CheckpointError: When the file is missing, damaged, malicious or of another format.
    """
    path = pathlib.Path(path)
    try:
        with path.open("rb") as file:
            return _read(file)
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise CheckpointError(f"{path}: {reason}.") from error
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _read(file: BinaryIO) -> TorchCheckpoint:
    try:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except ValueError as error:  # mmap raises it for an empty file
        raise CheckpointError("the file is empty.") from error
    budget = MemoryBudget(len(data))
    calls = known_calls(budget) | TENSOR_CALLS
    container = open_container(data, file, calls, budget)
    reader = TensorReader(container.storage, container.byteorder, budget)
    tensors, meta = _parts(container.value, file.name)
    values = PlainValues(
        MIN_META_VALUES + 2 * container.pickle_size, lambda value: _array(value, reader)
    )
    return TorchCheckpoint(_state_dict(tensors, reader), values.plain(meta))


def _parts(value: object, path: object) -> tuple[dict, dict]:
    """Tensors and metadata in the content of the file."""
    if not isinstance(value, dict):
        raise CheckpointError(
            f"the content is {shown(value)}, not a dict. Save the state dict of the network, not "
            "the network itself."
        )
    first = STATE_DICTS[0]
    if not isinstance(value.get(first, {}), dict):
        raise CheckpointError(f"its {first!r} is {shown(value[first])}, not a dict.")
    found = [key for key in STATE_DICTS if key in value and (key == first or _tensors(value[key]))]
    if not found:
        if value and not _tensors(value):
            entries = ", ".join(f"{shown(key)} ({shown(value[key])})" for key in list(value)[:8])
            raise CheckpointError(
                f"neither tensors nor a state dict under one of {', '.join(STATE_DICTS)} found, "
                f"only: {entries}."
            )
        return value, {}
    if len(found) > 1:
        others = ", ".join(map(repr, found[1:]))
        logger.warning(
            "%s: the weights under %r are read, not those under %s.", path, found[0], others
        )
    tensors, meta = value[found[0]], value.get("meta") if found[0] == first else None
    if not isinstance(meta, dict | None):
        raise CheckpointError(f"its 'meta' is {shown(meta)}, not a dict.")
    return tensors, meta or {}


def _tensors(value: object) -> bool:
    """Whether a value is a dict of tensors."""
    return isinstance(value, dict) and any(isinstance(x, TensorReference) for x in value.values())


def _state_dict(tensors: dict, reader: TensorReader) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        if not isinstance(name, str):
            raise CheckpointError(f"the name of a tensor is {shown(name)}, not a string.")
        if not isinstance(tensor, TensorReference):
            raise CheckpointError(f"{shown(name)} is {shown(tensor)}, not a plain tensor.")
        short = name.removeprefix(WRAPPER_PREFIX)
        if short in arrays:
            raise CheckpointError(
                f"{shown(short)} occurs twice, with and without the prefix {WRAPPER_PREFIX!r}."
            )
        try:
            arrays[short] = reader.read(tensor)
        except CheckpointError as error:
            raise CheckpointError(f"{shown(name)}: {error}") from error
    return arrays


def _array(value: object, reader: TensorReader) -> np.ndarray | None:
    if isinstance(value, TensorReference):
        return reader.read(value)
    return value.array if isinstance(value, PickledArray) else None
