"""Reads pickles without executing them.

Python's own unpickler imports and calls what a pickle names; even with that overridden it allocates
before it checks. This one implements the opcodes that `torch.save` writes (protocols 2 to 5) and
rejects all others. Names stay names, calls become stand-ins except for those in a table, and no
length is trusted before the bytes are read.
"""

from collections.abc import Callable
from typing import Any

from keras_deeplab.checkpoints.errors import CheckpointError
from keras_deeplab.checkpoints.pytorch.pickle_state import MAX_NAME_BYTES, PickleState
from keras_deeplab.checkpoints.pytorch.pickled_values import (
    CallTable,
    Name,
    StandIn,
    check_key,
    shown,
)

MAX_OPCODES = 500_000  # 60,000 in the largest checkpoint with optimizer of the zoo's networks
MAX_PROTOCOL = 5
MAX_INTEGER_BYTES = 255

_OPCODES: dict[int, tuple[Callable[..., None], tuple]] = {}


def _opcode(code: str, *args: Any) -> Callable:
    """Registers a method for an opcode; `args` are passed to it."""

    def register(method: Callable[..., None]) -> Callable[..., None]:
        _OPCODES[ord(code)] = (method, args)
        return method

    return register


class PickleMachine(PickleState):
    """Runs the opcodes of pickles in a buffer.

    Args:
        data: The buffer.
        calls: Dotted names to functions of the argument tuple. They return the value of the call,
            or `NotImplemented` for a stand-in.
        persistent: Function that returns the object of a persistent id.
    """

    def __init__(
        self, data: memoryview, calls: CallTable, persistent: Callable[[Any], Any]
    ) -> None:
        super().__init__(data)
        self._calls = calls
        self._persistent = persistent

    def run(self, start: int = 0) -> tuple[Any, int]:
        """Reads one pickle.

        Args:
            start: Index of its first byte.

        Returns:
            `(value, end)`: the content of the pickle and the index of the byte after it. Lists,
            dicts and tuples may contain each other.

        Raises:
            CheckpointError: When the pickle is damaged, or not as `torch.save` writes it.
        """
        self._reset(start)
        for _ in range(MAX_OPCODES):
            code = self._take(1)[0]
            if code == ord("."):
                value = self._pop()
                if self._stack or self._marks:
                    raise CheckpointError("the pickle ends with values left over.")
                return value, self._position
            if code not in _OPCODES:
                raise CheckpointError(
                    f"the pickle has opcode {code:#04x} at byte {self._position - 1 - start}, "
                    "which torch.save does not write with its default protocol."
                )
            method, args = _OPCODES[code]
            method(self, *args)
        raise CheckpointError(f"the pickle has more than {MAX_OPCODES} opcodes.")

    # Stack

    @_opcode("(")
    def _mark(self):
        self._marks.append(len(self._stack))

    @_opcode("0")
    def _discard(self):
        self._pop()

    @_opcode("1")
    def _discard_to_mark(self):
        self._pop_to_mark()

    @_opcode("\x80")
    def _protocol(self):
        protocol = self._number("<B")
        if protocol > MAX_PROTOCOL:
            raise CheckpointError(f"the pickle has the unknown protocol {protocol}.")

    @_opcode("\x95")
    def _frame(self):
        length = self._number("<Q")
        if length > len(self._data) - self._position:
            raise CheckpointError("the pickle is truncated: a frame extends beyond its end.")

    # Scalars

    @_opcode("N", None)
    @_opcode("\x88", True)
    @_opcode("\x89", False)
    def _constant(self, value):
        self._stack.append(value)

    @_opcode("J", "<i")
    @_opcode("K", "<B")
    @_opcode("M", "<H")
    @_opcode("G", ">d")
    def _push_number(self, form):
        self._stack.append(self._number(form))

    @_opcode("\x8a", "<B")
    @_opcode("\x8b", "<i")
    def _long(self, form):
        length = self._number(form)
        if not 0 <= length <= MAX_INTEGER_BYTES:
            raise CheckpointError(f"the pickle contains an integer of {length} bytes.")
        self._stack.append(int.from_bytes(self._take(length), "little", signed=True))

    @_opcode("X", "<I")
    @_opcode("\x8c", "<B")
    @_opcode("\x8d", "<Q")
    def _string(self, form):
        self._stack.append(self._text(self._take(self._number(form))))

    @_opcode("B", "<I")
    @_opcode("C", "<B")
    @_opcode("\x8e", "<Q")
    @_opcode("\x96", "<Q")
    def _bytes(self, form):
        self._stack.append(bytes(self._take(self._number(form))))

    @_opcode("U", "<B")
    @_opcode("T", "<I")
    def _python2_string(self, form):
        data = bytes(self._take(self._number(form)))
        try:
            self._stack.append(data.decode())
        except UnicodeDecodeError:
            self._stack.append(data)

    # Containers. Sets become lists, so that their members need not be hashed.

    @_opcode("]", list)
    @_opcode("\x8f", list)
    @_opcode("}", dict)
    @_opcode(")", tuple)
    def _empty(self, kind):
        self._stack.append(kind())

    @_opcode("t")
    @_opcode("\x91")
    def _tuple(self):
        self._stack.append(tuple(self._pop_to_mark()))

    @_opcode("\x85", 1)
    @_opcode("\x86", 2)
    @_opcode("\x87", 3)
    def _short_tuple(self, length):
        self._stack.append(tuple([self._pop() for _ in range(length)][::-1]))

    @_opcode("a")
    def _append(self):
        self._extend([self._pop()])

    @_opcode("e")
    @_opcode("\x90")
    def _appends(self):
        self._extend(self._pop_to_mark())

    def _extend(self, values):
        target = self._top()
        if isinstance(target, StandIn):
            target = target.items
        if not isinstance(target, list):
            raise CheckpointError(f"the pickle appends to {shown(target)}.")
        target.extend(values)

    @_opcode("s")
    def _set_item(self):
        value = self._pop()
        self._update([self._pop(), value])

    @_opcode("u")
    def _set_items(self):
        self._update(self._pop_to_mark())

    def _update(self, values):
        if len(values) % 2:
            raise CheckpointError("the pickle sets a dict key without a value.")
        pairs = list(zip(values[::2], values[1::2], strict=True))
        target = self._top()
        if isinstance(target, StandIn):
            target.items.extend(pairs)
        elif isinstance(target, dict):
            for key, value in pairs:
                check_key(key)
                target[key] = value
        else:
            raise CheckpointError(f"the pickle sets items of {shown(target)}.")

    # Memo

    @_opcode("q", "<B")
    @_opcode("r", "<I")
    def _put(self, form):
        self._memo[self._number(form)] = self._top()

    @_opcode("\x94")
    def _memoize(self):
        self._memo[len(self._memo)] = self._top()

    @_opcode("h", "<B")
    @_opcode("j", "<I")
    def _get(self, form):
        index = self._number(form)
        if index not in self._memo:
            raise CheckpointError(f"the pickle refers to the undefined memo entry {index}.")
        self._stack.append(self._memo[index])

    # What Python's unpickler would import and call

    @_opcode("c")
    def _global(self):
        module = self._line()
        self._stack.append(Name(f"{module}.{self._line()}"))

    @_opcode("\x93")
    def _stack_global(self):
        name, module = self._pop(), self._pop()
        if not isinstance(module, str) or not isinstance(name, str):
            raise CheckpointError("the pickle contains a name that is not a string.")
        if len(module) + len(name) > MAX_NAME_BYTES:
            raise CheckpointError(f"the pickle contains a name over {MAX_NAME_BYTES} bytes.")
        self._stack.append(Name(f"{module}.{name}"))

    @_opcode("R")
    def _call(self):
        args, function = self._pop(), self._pop()
        self._check_call(function, args)
        value: Any = NotImplemented
        if isinstance(function, Name) and function.name in self._calls:
            value = self._calls[function.name](args)
        if value is NotImplemented:
            value = StandIn(function.name, args)
        self._stack.append(value)

    @_opcode("\x81")
    def _new_object(self):
        args, kind = self._pop(), self._pop()
        self._check_call(kind, args)
        self._stack.append(StandIn(kind.name, args))

    @_opcode("\x92")
    def _new_object_with_keywords(self):
        keywords, args, kind = self._pop(), self._pop(), self._pop()
        self._check_call(kind, args)
        self._stack.append(StandIn(kind.name, (*args, keywords)))

    def _check_call(self, function: object, args: object) -> None:
        if not isinstance(function, Name | StandIn) or not isinstance(args, tuple):
            raise CheckpointError(f"the pickle calls {shown(function)}.")

    @_opcode("b")
    def _build(self):
        state, target = self._pop(), self._top()
        if isinstance(target, StandIn):
            target.build(state)
        elif not isinstance(target, dict):  # attributes of an OrderedDict are ignored
            raise CheckpointError(f"the pickle sets attributes of {shown(target)}.")

    @_opcode("Q")
    def _persistent_id(self):
        self._stack.append(self._persistent(self._pop()))
