"""The calls in a pickle that are evaluated: those of Python's and NumPy's own classes.

Each function takes the argument tuple of the call. It returns `NotImplemented` if the arguments are
not as `torch.save` writes them; the pickle machine then makes a stand-in.
"""

import functools
import re
from typing import Any

import numpy as np

from keras_deeplab.checkpoints.pytorch.memory_budget import MemoryBudget
from keras_deeplab.checkpoints.pytorch.pickled_values import CallTable, Name, StandIn, check_key

PAIR_BYTES = 128  # approximate size of a dict entry
_DTYPE = re.compile(r"[biufcSU]\d{1,6}")


def known_calls(budget: MemoryBudget) -> CallTable:
    """Dotted names and functions for `PickleMachine`.

    Args:
        budget: Memory budget of the file, because calls can copy a memoised value many times.
    """
    mapping = functools.partial(_ordered_dict, budget=budget)
    calls: CallTable = {
        "__builtin__.set": _members,
        "builtins.set": _members,
        "collections.OrderedDict": mapping,
        "_codecs.encode": functools.partial(_encode, budget=budget),
        "__builtin__.bytes": _empty_bytes,
        "builtins.bytes": _empty_bytes,
        "numpy.dtype": _dtype,
        "torch.Size": _size,
    }
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):  # before and since NumPy 2
        calls[f"{module}.scalar"] = functools.partial(_scalar, budget=budget)
        calls[f"{module}._reconstruct"] = _reconstruct
    return calls


class PickledDtype(StandIn):
    """A NumPy dtype under construction: the byte order follows in its state."""

    __slots__ = ("order",)

    def __init__(self, code: str) -> None:
        super().__init__("numpy.dtype", (code,))
        self.order: str | None = "="

    def build(self, state: Any) -> None:
        """Takes the byte order from `(version, order, subdtype, names, fields, ...)`."""
        super().build(state)
        plain = isinstance(state, tuple) and len(state) >= 5 and state[2:5] == (None, None, None)
        self.order = state[1] if plain and state[1] in ("<", ">", "|", "=") else None

    def resolve(self) -> np.dtype | None:
        """The `numpy.dtype`, or None for structured and other unsupported ones."""
        code = self.args[0]
        if self.order is None or not _DTYPE.fullmatch(code):
            return None
        try:
            return np.dtype(self.order + code)
        except TypeError:  # f7
            return None


class PickledArray(StandIn):
    """A NumPy array under construction: shape, dtype and bytes follow in its state.

    Attributes:
        array: The read-only array; None before `build` and for unsupported states.
    """

    __slots__ = ("array",)

    def __init__(self, args: tuple) -> None:
        super().__init__("numpy.ndarray", args)
        self.array: np.ndarray | None = None

    def build(self, state: Any) -> None:
        """Takes the array from `(version, shape, dtype, is_fortran, data)`."""
        super().build(state)
        if not isinstance(state, tuple) or len(state) != 5:
            return
        _, shape, dtype, is_fortran, data = state
        flat = _from_bytes(dtype, data)
        if flat is None or not isinstance(shape, tuple):
            return
        if all(type(side) is int and side >= 0 for side in shape):
            try:
                self.array = flat.reshape(shape, order="F" if is_fortran is True else "C")
            except (ValueError, OverflowError):  # another size, or too many axes
                self.array = None


def _from_bytes(dtype: object, data: object) -> np.ndarray | None:
    """Flat array over `data`, or None."""
    if isinstance(data, str):  # written by Python 2
        data = data.encode("utf-8", "surrogatepass")
    resolved = dtype.resolve() if isinstance(dtype, PickledDtype) else None
    if resolved is None or not isinstance(data, bytes):
        return None
    if not data:
        return np.zeros(0, resolved)
    try:
        return np.frombuffer(data, resolved)
    except ValueError:  # not a multiple of the item size
        return None


def _dtype(args: tuple) -> Any:
    return PickledDtype(args[0]) if args and isinstance(args[0], str) else NotImplemented


def _scalar(args: tuple, budget: MemoryBudget) -> Any:
    if len(args) != 2 or not isinstance(args[1], bytes | str):
        return NotImplemented
    budget.spend(len(args[1]), "a NumPy scalar")
    values = _from_bytes(*args)
    if values is None or values.size != 1:
        return NotImplemented
    try:
        return values.item()
    except ValueError:  # code points beyond Unicode
        return NotImplemented


def _reconstruct(args: tuple) -> Any:
    is_array = args and isinstance(args[0], Name) and args[0].name == "numpy.ndarray"
    return PickledArray(args) if is_array else NotImplemented


def _encode(args: tuple, budget: MemoryBudget) -> Any:
    # Protocol 2 has no bytes and writes them as a call that encodes a string.
    if len(args) != 2 or not isinstance(args[0], str) or args[1] != "latin1":
        return NotImplemented
    budget.spend(len(args[0]), "a byte string")
    try:
        return args[0].encode("latin1")
    except UnicodeEncodeError:
        return NotImplemented


def _empty_bytes(args: tuple) -> Any:
    return b"" if args == () else NotImplemented


def _members(args: tuple) -> Any:
    return args[0] if len(args) == 1 and isinstance(args[0], list) else NotImplemented


def _size(args: tuple) -> Any:
    return args[0] if len(args) == 1 and isinstance(args[0], tuple) else NotImplemented


def _ordered_dict(args: tuple, budget: MemoryBudget) -> Any:
    if args == ():
        return {}
    if len(args) != 1 or not isinstance(args[0], list):
        return NotImplemented
    budget.spend(PAIR_BYTES * len(args[0]), "a dict")
    result = {}
    for pair in args[0]:  # Python 2 passes the items as a list of pairs
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            return NotImplemented
        check_key(pair[0])
        result[pair[0]] = pair[1]
    return result
