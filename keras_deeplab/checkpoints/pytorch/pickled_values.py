"""What a pickle is read into: plain Python values, and inert stand-ins for everything else."""

from keras_deeplab.checkpoints.errors import CheckpointError

MAX_DEPTH = 64
MAX_KEY_BITS = 64  # longer integers can be chosen to collide in a dict, which makes it quadratic
MAX_KEY_LENGTH = 16

_SCALARS = (str, bytes, float, bool, type(None))


class Name:
    """A dotted name in a pickle, such as `torch.FloatStorage`. Nothing is looked up or imported."""

    __slots__ = ("name",)

    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return f"<name {shown(self.name)}>"


class StandIn:
    """Stands for an object of a class that the reader does not know, and does nothing.

    Attributes:
        name: Dotted name of the class or function, as the file states it.
        args: Arguments it would have been called with, a tuple.
        state: State it would have been given, or None.
        items: Members it would have been filled with: values, or pairs of key and value.
    """

    __slots__ = ("args", "items", "name", "state")

    def __init__(self, name, args=()):
        self.name = name
        self.args = args
        self.state = None
        self.items = []

    def build(self, state):
        """Records the state."""
        self.state = state

    def __repr__(self):
        return f"<stand-in for {shown(self.name)}>"


def shown(value):
    """A value in a message: one line, short, without control characters."""
    if isinstance(value, str):
        return repr(value[:80]) if not value.isascii() or not value.isprintable() else value[:80]
    if isinstance(value, StandIn | Name):
        return repr(value)
    return f"a value of type {type(value).__name__}"


def check_key(key):
    """Refuses dict keys that are unhashable or slow to hash.

    Raises:
        CheckpointError: For such a key.
    """
    parts = key if isinstance(key, tuple) else (key,)
    if len(parts) > MAX_KEY_LENGTH:
        raise CheckpointError(f"a dict key is a tuple of {len(parts)} values.")
    for part in parts:
        is_integer = type(part) is int
        if is_integer and part.bit_length() > MAX_KEY_BITS:
            raise CheckpointError(f"a dict key is an integer of {part.bit_length()} bits.")
        if not is_integer and not isinstance(part, (*_SCALARS, Name, StandIn)):
            raise CheckpointError(f"a dict key is {shown(part)}.")


class PlainValues:
    """Turns values of a pickle into a tree of dicts, lists, scalars, arrays and stand-ins.

    A pickle of a kilobyte can describe lists that refer to each other, which a reader of the tree
    (or `json.dump`) would walk for ever: size and depth of the tree are limited.

    Args:
        limit: How many values the tree may hold.
        array: Function that gives the array a tensor or pickled array stands for, or None.
    """

    def __init__(self, limit, array):
        self._left = limit
        self._array = array

    def plain(self, value, depth=0):
        """The tree of one value. Tuples become lists, as in JSON.

        Raises:
            CheckpointError: When the tree is too large or too deep.
        """
        self._left -= 1
        if self._left < 0:
            raise CheckpointError("'meta' refers to itself or repeats its parts without end.")
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
