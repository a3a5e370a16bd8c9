"""Values read from a pickle: plain Python values, and inert stand-ins for all others."""

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_deeplab.checkpoints.errors import CheckpointError

MAX_DEPTH = 64
MAX_KEY_BITS = 64  # longer integers can be chosen to collide in a dict, which makes it quadratic
MAX_KEY_LENGTH = 16

_SCALARS = (str, bytes, float, bool, type(None))

CallTable = dict[str, Callable[[tuple], Any]]
"""Dotted names of callables to functions that evaluate a call from its argument tuple."""


class Name:
    """A dotted name in a pickle, such as `torch.FloatStorage`. Nothing is looked up or imported."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<name {shown(self.name)}>"


class StandIn:
    """Inert replacement for an object of a class that the reader does not support.

    Attributes:
        name: Dotted name of the class or function, as in the file.
        args: Arguments of the call.
        state: State that the object would have been given, or None.
        items: Items that would have been added to the object: values, or pairs of key and value.
    """

    __slots__ = ("args", "items", "name", "state")

    def __init__(self, name: str, args: tuple = ()) -> None:
        self.name = name
        self.args = args
        self.state: Any = None
        self.items: list[Any] = []

    def build(self, state: Any) -> None:
        """Records the state."""
        self.state = state

    def __repr__(self) -> str:
        return f"<stand-in for {shown(self.name)}>"


def shown(value: object) -> str:
    """A value in a message: one line, short, without control characters."""
    if isinstance(value, str):
        return repr(value[:80]) if not value.isascii() or not value.isprintable() else value[:80]
    if isinstance(value, StandIn | Name):
        return repr(value)
    return f"a value of type {type(value).__name__}"


def check_key(key: object) -> None:
    """Rejects dict keys that are unhashable or slow to hash.

    Raises:
        CheckpointError: For such a key.
    """
    parts = key if isinstance(key, tuple) else (key,)
    if len(parts) > MAX_KEY_LENGTH:
        raise CheckpointError(f"a dict key is a tuple of {len(parts)} values.")
    for part in parts:
        if type(part) is int:
            if part.bit_length() > MAX_KEY_BITS:
                raise CheckpointError(f"a dict key is an integer of {part.bit_length()} bits.")
        elif not isinstance(part, (*_SCALARS, Name, StandIn)):
            raise CheckpointError(f"a dict key is {shown(part)}.")


class PlainValues:
    """Turns values of a pickle into a tree of dicts, lists, scalars, arrays and stand-ins.

    A pickle of a kilobyte can describe lists that contain each other, which `json.dump` or any
    other reader would walk forever. So the size and depth of the tree are limited.

    Args:
        limit: Maximum number of values in the tree.
        array: Function that returns the array of a tensor or pickled array, or None.
    """

    def __init__(self, limit: int, array: Callable[[Any], np.ndarray | None]) -> None:
        self._left = limit
        self._array = array

    def plain(self, value: Any, depth: int = 0) -> Any:
        """The tree of one value. Tuples become lists, as in JSON.

        Raises:
            CheckpointError: When the tree is too large or too deep.
        """
        self._left -= 1
        if self._left < 0:
            raise CheckpointError("'meta' contains itself or repeats its parts endlessly.")
        if depth > MAX_DEPTH:
            raise CheckpointError(f"'meta' is nested more than {MAX_DEPTH} levels deep.")
        if isinstance(value, (*_SCALARS, int)):
            return value
        if isinstance(value, list | tuple):
            return [self.plain(item, depth + 1) for item in value]
        if isinstance(value, dict):
            return {key: self.plain(item, depth + 1) for key, item in value.items()}
        if isinstance(value, Name):
            return StandIn(value.name)
        array = self._array(value)
        if array is not None:
            return array
        copy = StandIn(value.name, tuple(self.plain(item, depth + 1) for item in value.args))
        copy.state = self.plain(value.state, depth + 1)
        copy.items = self.plain(value.items, depth + 1)
        return copy
