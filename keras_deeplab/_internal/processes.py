"""Processes of one program: how they end, together or alone."""

import contextlib
import ctypes
import os
import pathlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

LINES = 20  # shown lines of the output of a failed process


class Interrupted(KeyboardInterrupt):
    """A signal ended the work; what is needed to continue was saved.

    Attributes:
        signal: Number of the signal.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.signal = number


@contextlib.contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Context manager: SIGTERM raises `Interrupted` in the main thread, as Ctrl-C does an error."""

    def interrupt(number: int, _: FrameType | None) -> NoReturn:
        raise Interrupted(f"Ended by {signal.Signals(number).name}.", number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def end_with_parent(number: int, parent: int | None = None) -> None:
    """Lets the kernel send this process a signal when the process that started it is gone.

    Args:
        number: Number of the signal.
        parent: Process that started this one: when it is gone already, this one ends.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, number)  # 1: PR_SET_PDEATHSIG
        if parent is not None and os.getppid() != parent:
            os._exit(1)


def how_it_ended(status: int) -> str:
    """The exit status of a process in words: `signal SIGKILL`, `exit status 1`."""
    return f"exit status {status}" if status >= 0 else f"signal {signal.Signals(-status).name}"


def last_lines(log: pathlib.Path) -> list[str]:
    """The last lines of the output of a process."""
    try:
        return log.read_text(encoding="utf-8", errors="replace").splitlines()[-LINES:]
    except FileNotFoundError:
        return []
