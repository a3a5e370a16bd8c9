"""The calls in a pickle that yield values: those of Python's and NumPy's own classes.

Each function takes the argument tuple of the call and returns `NotImplemented` when it does not
look as `torch.save` writes it; the machine makes a stand-in of it then.
"""

import functools
import re

import numpy as np

from keras_deeplab.checkpoints.pytorch.pickled_values import Name, StandIn, check_key

PAIR_BYTES = 128  # of a dict entry, roughly
_DTYPE = re.compile(r"[biufcSU]\d{1,6}")


def known_calls(budget):
    """Table of dotted names and functions for `PickleMachine`.

    Args:
        budget: `MemoryBudget` of the file; a memoised value can be copied again and again.

    Returns:
        Dict of functions that take the argument tuple.
    """
    mapping = functools.partial(_ordered_dict, budget=budget)
    calls = {
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
    """A NumPy dtype in the making: the byte order follows in its state."""

    __slots__ = ("order",)

    def __init__(self, code):
        super().__init__("numpy.dtype", (code,))
        self.order = "="

    def build(self, state):
        """Takes the byte order from `(version, order, subdtype, names, fields, ...)`."""
        super().build(state)
        plain = isinstance(state, tuple) and len(state) >= 5 and state[2:5] == (None, None, None)
        self.order = state[1] if plain and state[1] in ("<", ">", "|", "=") else None

    def resolve(self):
        """The `numpy.dtype`, or None for structured and other unknown ones."""
        code = self.args[0]
        if self.order is None or not _DTYPE.fullmatch(code):
            return None
        try:
            return np.dtype(self.order + code)
        except TypeError:  # f7
            return None


class PickledArray(StandIn):
    """A NumPy array in the making: shape, dtype and bytes follow in its state.

    Attributes:
        array: The array, read-only; None while its state is unknown or no array of numbers.
    """

    __slots__ = ("array",)

    def __init__(self, args):
        super().__init__("numpy.ndarray", args)
        self.array = None

    def build(self, state):
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
            except (ValueError, OverflowError):  # of another size, or of too many axes
                self.array = None


def _from_bytes(dtype, data):
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


def _dtype(args):
    return PickledDtype(args[0]) if args and isinstance(args[0], str) else NotImplemented


def _scalar(args, budget):
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


def _reconstruct(args):
    is_array = args and isinstance(args[0], Name) and args[0].name == "numpy.ndarray"
    return PickledArray(args) if is_array else NotImplemented


def _encode(args, budget):
    # How protocol 2, which has no bytes, spells them.
    if len(args) != 2 or not isinstance(args[0], str) or args[1] != "latin1":
        return NotImplemented
    budget.spend(len(args[0]), "a byte string")
    try:
        return args[0].encode("latin1")
    except UnicodeEncodeError:
        return NotImplemented


def _empty_bytes(args):
    return b"" if args == () else NotImplemented


def _members(args):
    return args[0] if len(args) == 1 and isinstance(args[0], list) else NotImplemented


def _size(args):
    return args[0] if len(args) == 1 and isinstance(args[0], tuple) else NotImplemented


def _ordered_dict(args, budget):
    if args == ():
        return {}
    if len(args) != 1 or not isinstance(args[0], list):
        return NotImplemented
    budget.spend(PAIR_BYTES * len(args[0]), "a dict")
    result = {}
    for pair in args[0]:  # as Python 2 writes them
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            return NotImplemented
        check_key(pair[0])
        result[pair[0]] = pair[1]
    return result
