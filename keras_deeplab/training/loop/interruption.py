"""Signals that end a run: it saves after the step at hand and leaves."""

import contextlib
import signal
import threading

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(KeyboardInterrupt):
    """A run was ended by a signal; what it takes to continue was saved.

    Attributes:
        signal: Number of the signal.
    """

    def __init__(self, message, number):
        super().__init__(message)
        self.signal = number


class Interruption:
    """Notes SIGTERM and SIGINT while it is entered; a second signal interrupts at once.

    Args:
        listen: Whether to note them. Otherwise they are ignored: among workers the chief saves,
            and the others end with it.
    """

    def __init__(self, listen=True):
        self.listen = listen
        self.noted = None  # number of the signal
        self._waiting = True  # for a moment at which everything is saved
        self._handlers = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            handler = self._note if self.listen else signal.SIG_IGN
            self._handlers = {number: signal.signal(number, handler) for number in SIGNALS}
        return self

    def __exit__(self, *_):
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        if self.noted is not None:
            raise KeyboardInterrupt
        self.noted = number
        if not self._waiting:
            self.leave()

    def leave(self):
        """Raises `Interrupted`."""
        name = signal.Signals(self.noted).name
        raise Interrupted(
            f"Ended by {name}; the run is saved, and `resume` goes on with it.", self.noted
        )

    @contextlib.contextmanager
    def at_once(self):
        """In this block everything is saved, and a signal need not wait."""
        self._waiting = False
        try:
            if self.noted is not None:
                self.leave()
            yield
        finally:
            self._waiting = True
