"""Capturing the error stream of this process."""

import contextlib
import os
import sys
import tempfile


@contextlib.contextmanager
def capture_stderr():
    """Holds back the error stream; shows it when the block fails.

    Messages about CPU features and missing GPUs come from C++ before any log level applies, so the
    stream itself is held.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(saved, 2)
            held.seek(0)
            sys.stderr.write(held.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
