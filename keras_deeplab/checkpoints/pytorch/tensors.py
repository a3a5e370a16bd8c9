"""Tensors of a checkpoint: from the calls that rebuild them to arrays over their storages."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from keras_deeplab.checkpoints.errors import CheckpointError
from keras_deeplab.checkpoints.pytorch.dtypes import DTYPES, STORAGE_DTYPES
from keras_deeplab.checkpoints.pytorch.memory_budget import MemoryBudget
from keras_deeplab.checkpoints.pytorch.pickled_values import CallTable, Name, StandIn, shown

MAX_AXES = 32  # limit of NumPy 1; NumPy 2 allows 64


@dataclasses.dataclass(frozen=True, slots=True)
class StorageReference:
    """A storage, or a part of one, as in the pickle: unchecked, counts in elements."""

    key: str
    dtype: str
    count: int
    offset: int
    whole: int


@dataclasses.dataclass(frozen=True, slots=True)
class TensorReference:
    """A strided view of a storage, as in the pickle: unchecked, counts in elements."""

    storage: StorageReference
    offset: int
    shape: tuple
    strides: tuple
    dtype: str


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def storage_reference(persistent_id: Any) -> StorageReference | StandIn:
    """The object of a persistent id, `("storage", class, key, location, count[, view])`.

    The location (`cuda:0`) is ignored. `view` is `(key, offset, count)` in the oldest files.

    Returns:
        A stand-in for anything else.
    """
    match persistent_id:
        case ("storage", Name(name=kind), str(key), _, count, *rest) if (
            kind in STORAGE_DTYPES and _is_size(count)
        ):
            dtype = STORAGE_DTYPES[kind]
            match rest:
                case [] | [None]:
                    return StorageReference(key, dtype, count, 0, count)
                case [(str(), offset, length)] if _is_size(offset) and _is_size(length):
                    return StorageReference(key, dtype, length, offset, count)
        case ("storage", Name(name=kind), *_):
            return StandIn(kind)
    return StandIn("a persistent id")


def _rebuild(args: tuple) -> Any:
    match args:
        case (StorageReference() as storage, int(offset), tuple(shape), tuple(strides), *rest):
            has_flags = len(rest) > 2 and rest[2]  # lazily conjugated or negated
            if not has_flags:
                return TensorReference(storage, offset, shape, strides, storage.dtype)
    return NotImplemented


def _rebuild_with_dtype(args: tuple) -> Any:
    match args:
        case (_, _, _, _, _, _, Name(name=name), *rest) if not (rest and rest[0]):
            tensor = _rebuild(args[:4])
            dtype = name.removeprefix("torch.")
            if tensor is not NotImplemented and dtype in DTYPES:
                return dataclasses.replace(tensor, dtype=dtype)
    return NotImplemented


def _unwrap(args: tuple) -> Any:
    return args[0] if args and isinstance(args[0], TensorReference) else NotImplemented


def _rebuild_with_attributes(args: tuple) -> Any:
    match args:
        case (Name(name=name), Name(), tuple(inner), _) if name in _PLAIN_CALLS:
            return _PLAIN_CALLS[name](inner)
    return NotImplemented


_PLAIN_CALLS: CallTable = {
    "torch._utils._rebuild_tensor": _rebuild,
    "torch._utils._rebuild_tensor_v2": _rebuild,
    "torch._utils._rebuild_tensor_v3": _rebuild_with_dtype,
}
TENSOR_CALLS = _PLAIN_CALLS | {
    "torch._utils._rebuild_parameter": _unwrap,
    "torch._utils._rebuild_parameter_with_state": _unwrap,
    "torch._tensor._rebuild_from_type": _rebuild_with_attributes,
    "torch._tensor._rebuild_from_type_v2": _rebuild_with_attributes,
}


class TensorReader:
    """Converts tensor references to arrays.

    Args:
        raw: Function that returns the bytes of a storage by its key.
        byteorder: Byte order of the file.
        budget: Memory budget of the file.
    """

    def __init__(
        self, raw: Callable[[str], memoryview], byteorder: Literal["<", ">"], budget: MemoryBudget
    ) -> None:
        self._raw = raw
        self._byteorder = byteorder
        self._budget = budget
        self._storages: dict[tuple[str, str], np.ndarray] = {}

    def read(self, tensor: TensorReference) -> np.ndarray:
        """The array of a tensor: a read-only view of its storage.

        Returns:
            Array of the tensor's shape; bfloat16 and float8 as float32, complex32 as complex64.

        Raises:
            CheckpointError: When shape, strides or offset exceed the storage, or the storage
                exceeds the file.
        """
        shape, strides = tensor.shape, tensor.strides
        sizes = (*shape, *strides, tensor.offset)
        if len(shape) != len(strides) or not all(map(_is_size, sizes)):
            raise CheckpointError("the tensor has no valid shape, strides and offset.")
        if len(shape) > MAX_AXES:
            raise CheckpointError(f"the tensor has {len(shape)} axes.")
        storage = self._storage(tensor)
        item = storage.dtype.itemsize
        if 0 in shape:
            return self._empty(shape, storage.dtype)
        last = sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
        if tensor.offset + last >= len(storage):
            raise CheckpointError(
                f"the tensor extends to element {tensor.offset + last} of a storage of "
                f"{len(storage)} elements."
            )
        size = item
        for side in shape:
            size *= side
        if size > last * item + item:  # a view, but a copy of it allocates every element
            self._budget.spend(size, "an expanded tensor")
        steps = tuple(
            stride * item if side > 1 else 0 for side, stride in zip(shape, strides, strict=True)
        )
        return np.ndarray(shape, storage.dtype, storage, tensor.offset * item, steps)

    def _empty(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        try:
            return np.zeros(shape, dtype)
        except (ValueError, OverflowError) as error:
            raise CheckpointError("the tensor has no valid shape.") from error

    def _storage(self, tensor: TensorReference) -> np.ndarray:
        """Flat array over the part of a storage that a tensor may use."""
        reference, dtype = tensor.storage, DTYPES[tensor.dtype]
        key = (reference.key, tensor.dtype)
        if key not in self._storages:
            self._storages[key] = self._array(self._raw(reference.key), tensor.dtype)
        unit = DTYPES[reference.dtype].item_size
        start, stop = reference.offset * unit, (reference.offset + reference.count) * unit
        whole = self._storages[key]
        if stop // dtype.item_size > len(whole):
            raise CheckpointError(
                f"storage {shown(reference.key)} should have {stop} bytes, but has only "
                f"{len(whole) * dtype.item_size}."
            )
        return whole[start // dtype.item_size : stop // dtype.item_size]

    def _array(self, raw: memoryview, name: str) -> np.ndarray:
        dtype = DTYPES[name]
        stored = np.dtype(dtype.stored).newbyteorder(self._byteorder)
        count = len(raw) // dtype.item_size
        if count == 0:
            return np.zeros(0, dtype.widened or dtype.stored)
        bits = np.frombuffer(raw, stored, count)
        if name == "bool" and bits.view(np.uint8).max() > 1:
            raise CheckpointError("a bool storage contains bytes other than 0 and 1.")
        result = np.dtype(dtype.widened or dtype.stored)
        if dtype.widen is None and bits.dtype == result:
            return bits
        self._budget.spend(count * result.itemsize, "widening a storage")
        array = bits.astype(result) if dtype.widen is None else dtype.widen(bits)
        array.flags.writeable = False
        return array
