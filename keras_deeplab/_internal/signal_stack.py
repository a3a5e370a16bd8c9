"""The stack that signal handlers of this thread run on."""

import contextlib
import ctypes
import sys
from collections.abc import Iterator


class _Stack(ctypes.Structure):
    """`stack_t` of Linux, see sigaltstack(2)."""

    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextlib.contextmanager
def same_signal_stack() -> Iterator[None]:
    """Restores the alternate signal stack of this thread, if any, at the end.

    A library may replace it by one of some kilobytes. Python's handlers of Ctrl-C and SIGTERM run
    on it. Where the processor has many registers (AVX-512, AMX) they overflow it, and the process
    ends with a segmentation fault. Only Linux is looked after.
    """
    if sys.platform != "linux":
        yield
        return
    stack, libc = _Stack(), ctypes.CDLL(None)
    libc.sigaltstack(None, ctypes.byref(stack))
    try:
        yield
    finally:
        libc.sigaltstack(ctypes.byref(stack), None)
