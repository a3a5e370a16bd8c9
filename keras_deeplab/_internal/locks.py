"""Files and folders that one process at a time writes."""

import contextlib
import pathlib
from collections.abc import Iterator

import filelock

from keras_deeplab._internal.errors import InputError


@contextlib.contextmanager
def locked_target(target: pathlib.Path) -> Iterator[None]:
    """Context manager: a file is written by this process alone; a killed one frees it.

    Raises:
        ValueError: When another process writes the file.
    """
    with locked_by(target.with_name(f".{target.name}.lock"), str(target)):
        yield


@contextlib.contextmanager
def locked_by(path: pathlib.Path, what: str) -> Iterator[None]:
    """Context manager: this process alone holds a lock file, which exists only meanwhile.

    Args:
        path: The lock file.
        what: What is written, for the error.

    Raises:
        ValueError: When another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise InputError(f"Another process is writing {what}.") from None
    try:
        yield
    finally:
        with contextlib.suppress(PermissionError):  # Windows: filelock removes it itself
            path.unlink(missing_ok=True)
        lock.release()
