"""Signals that end a run: it saves after the current step and stops."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from keras_deeplab._internal.processes import Interrupted

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """Context manager that notes SIGTERM and SIGINT; a second signal interrupts at once.

    Args:
        listen: Whether to note the signals. Otherwise they are ignored: among several workers the
            chief saves, and the others end with it.

    Attributes:
        noted: Number of the signal, or `None` before one was received.
    """

    def __init__(self, listen: bool = True) -> None:
        self.listen = listen
        self.noted: int | None = None
        self._waiting = True  # until everything is saved
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            handler = self._note if self.listen else signal.SIG_IGN
            self._handlers = {number: signal.signal(number, handler) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.noted is not None:
            raise KeyboardInterrupt
        self.noted = number
        if not self._waiting:
            self.leave()

    def leave(self) -> None:
        """Raises `Interrupted` when a signal was noted."""
        if self.noted is None:
            return
        name = signal.Signals(self.noted).name
        raise Interrupted(
            f"Ended by {name}; the run is saved. Continue it with --resume (`resume=True`).",
            self.noted,
        )

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """A block in which everything is saved, so that a signal interrupts at once."""
        self._waiting = False
        try:
            self.leave()
            yield
        finally:
            self._waiting = True
