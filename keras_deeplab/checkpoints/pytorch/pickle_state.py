"""Bytes, stack and memo of a pickle being read, with a check before every access."""

import struct

from keras_deeplab.checkpoints.errors import CheckpointError

MAX_NAME_BYTES = 1024


class PickleState:
    """What the opcodes of a pickle work on.

    Args:
        data: Memoryview of bytes.
    """

    def __init__(self, data):
        self._data = data
        self._reset(0)

    def _reset(self, start):
        self._position = start
        self._stack = []
        self._marks = []  # heights of the stack
        self._memo = {}

    def _take(self, count):
        end = self._position + count
        if end > len(self._data):
            raise CheckpointError(
                f"the pickle is cut short: {count} bytes expected at byte {self._position}, "
                f"{len(self._data) - self._position} left."
            )
        taken = self._data[self._position : end]
        self._position = end
        return taken

    def _number(self, form):
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _text(self, data):
        try:
            return str(data, "utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise CheckpointError("the pickle holds text that is not UTF-8.") from error

    def _line(self):
        length = bytes(self._data[self._position : self._position + MAX_NAME_BYTES]).find(b"\n")
        if length < 0:
            raise CheckpointError(f"the pickle holds a name over {MAX_NAME_BYTES} bytes.")
        return self._text(self._take(length + 1)[:length])

    def _floor(self):
        return self._marks[-1] if self._marks else 0

    def _top(self):
        if len(self._stack) <= self._floor():
            raise CheckpointError("the pickle takes a value from its empty stack.")
        return self._stack[-1]

    def _pop(self):
        value = self._top()
        self._stack.pop()
        return value

    def _pop_to_mark(self):
        if not self._marks:
            raise CheckpointError("the pickle lacks a mark.")
        mark = self._marks.pop()
        values = self._stack[mark:]
        del self._stack[mark:]
        return values
