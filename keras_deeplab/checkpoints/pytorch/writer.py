"""Writing a state dict as a `.pth` file that PyTorch loads with `weights_only=True`.

The zip format of `torch.save` (PyTorch 1.6 and later): a pickle that describes the tensors, and one
stored entry per tensor with its bytes. The pickle opcodes are written out here because Python's
own pickler needs the classes of PyTorch to name them.
"""

import pickle
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_deeplab._internal.files import StrPath, atomic_write
from keras_deeplab.checkpoints.errors import CheckpointError

ROOT = "archive"  # the folder within the zip; PyTorch accepts any name
STORAGES = {"float32": "FloatStorage", "float16": "HalfStorage", "int64": "LongStorage"}
EPOCH = (1980, 1, 1, 0, 0, 0)  # a fixed date: the same weights give the same file


def write_torch_checkpoint(
    path: StrPath, state_dict: Mapping[str, np.ndarray], meta: Mapping[str, Any] | None = None
) -> None:
    """Writes `{"meta": meta, "state_dict": state_dict}` in PyTorch's zip format.

    Args:
        path: Target, usually ending in `.pth`; written atomically.
        state_dict: Reference names to arrays of float32, float16 or int64.
        meta: Names to strings, numbers and lists of them; mmsegmentation looks for `CLASSES` and
            `PALETTE` here.

    Raises:
        CheckpointError: For an array of another dtype; names it.
    """
    for name, array in state_dict.items():
        if str(array.dtype) not in STORAGES:
            raise CheckpointError(
                f"{name} is {array.dtype}; a .pth file can have {', '.join(STORAGES)}."
            )
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        _add(archive, "data.pkl", _pickle(state_dict, meta or {}))
        _add(archive, "byteorder", b"little")
        for index, array in enumerate(state_dict.values()):
            little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            _add(archive, f"data/{index}", little.tobytes())
        _add(archive, "version", b"3\n")


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(f"{ROOT}/{name}", EPOCH), content)


def _pickle(state_dict: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> bytes:
    stream = [pickle.PROTO, b"\x02", pickle.EMPTY_DICT, pickle.MARK]
    stream += [_value("meta"), _value(meta), _value("state_dict"), _ordered_dict(), pickle.MARK]
    for index, (name, array) in enumerate(state_dict.items()):
        stream += [_value(name), _tensor(index, array)]
    stream += [pickle.SETITEMS, pickle.SETITEMS, pickle.STOP]
    return b"".join(stream)


def _tensor(index: int, array: np.ndarray) -> bytes:
    """`torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)`."""
    strides = [stride // array.itemsize for stride in np.empty(array.shape, array.dtype).strides]
    storage = (
        pickle.MARK
        + _value("storage")
        + _global("torch", STORAGES[str(array.dtype)])
        + _value(str(index))
        + _value("cpu")
        + _value(array.size)
        + pickle.TUPLE
        + pickle.BINPERSID
    )
    return (
        _global("torch._utils", "_rebuild_tensor_v2")
        + pickle.MARK
        + storage
        + _value(0)
        + _value(tuple(array.shape))
        + _value(tuple(strides))
        + pickle.NEWFALSE
        + _ordered_dict()
        + pickle.TUPLE
        + pickle.REDUCE
    )


def _ordered_dict() -> bytes:
    return _global("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _value(value: object) -> bytes:
    """Opcodes that push a plain value: those of Python's pickler, without header and stop."""
    return pickle.dumps(value, protocol=2)[2:-1]
