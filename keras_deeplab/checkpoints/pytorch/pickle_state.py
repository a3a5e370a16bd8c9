"""Bytes, stack and memo of a pickle being read, with a check before every access."""

import struct
from typing import Any

from keras_deeplab.checkpoints.errors import CheckpointError

MAX_NAME_BYTES = 1024


class PickleState:
    """State on which the opcodes of a pickle operate.

    Args:
        data: The bytes of the pickle.
    """

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._reset(0)

    def _reset(self, start: int) -> None:
        self._position = start
        self._stack: list[Any] = []
        self._marks: list[int] = []  # heights of the stack
        self._memo: dict[int, Any] = {}

    def _take(self, count: int) -> memoryview:
        end = self._position + count
        if end > len(self._data):
            raise CheckpointError(
                f"the pickle is truncated: {count} bytes expected at byte {self._position}, "
                f"{len(self._data) - self._position} left."
            )
        taken = self._data[self._position : end]
        self._position = end
        return taken

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _text(self, data: memoryview) -> str:
        try:
            return str(data, "utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise CheckpointError("the pickle contains a string that is not UTF-8.") from error

    def _line(self) -> str:
        length = bytes(self._data[self._position : self._position + MAX_NAME_BYTES]).find(b"\n")
        if length < 0:
            raise CheckpointError(f"the pickle contains a name over {MAX_NAME_BYTES} bytes.")
        return self._text(self._take(length + 1)[:length])

    def _floor(self) -> int:
        return self._marks[-1] if self._marks else 0

    def _top(self) -> Any:
        if len(self._stack) <= self._floor():
            raise CheckpointError("the pickle takes a value from its empty stack.")
        return self._stack[-1]

    def _pop(self) -> Any:
        value = self._top()
        self._stack.pop()
        return value

    def _pop_to_mark(self) -> list[Any]:
        if not self._marks:
            raise CheckpointError("the pickle has no mark on its stack.")
        mark = self._marks.pop()
        values = self._stack[mark:]
        del self._stack[mark:]
        return values
