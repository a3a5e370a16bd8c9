"""The cache folder of downloaded files: location, locks, checks and storage errors."""

import contextlib
import errno
import logging
import os
import pathlib
from collections.abc import Iterator

import filelock

from keras_deeplab._internal.files import atomic_write, file_sha256

HOME_VARIABLE = "KERAS_DEEPLAB_HOME"
QUIET_WAIT = 2.0  # seconds to wait for another process before logging it
NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

logger = logging.getLogger("keras_deeplab")


class DownloadError(OSError):
    """A failed download. The message says what went wrong, where, and what to do.

    An `OSError`, not a `CheckpointError`: network, disk or settings are at fault, not the content
    of a weights file, so a caller may retry.
    """


def cache_dir() -> pathlib.Path:
    """Folder of the downloaded files. It may not exist yet.

    Returns:
        `$KERAS_DEEPLAB_HOME` if set, else `$KERAS_HOME/keras_deeplab` if that is set, else
        `~/.keras/keras_deeplab`.
    """
    home = os.environ.get(HOME_VARIABLE)
    folder = home or os.path.join(os.environ.get("KERAS_HOME") or "~/.keras", "keras_deeplab")
    return pathlib.Path(folder).expanduser().absolute()


def matches(path: pathlib.Path, sha256: str) -> bool:
    """Whether a file exists, is readable, and has a SHA-256 that starts with these digits."""
    try:
        return path.is_file() and file_sha256(path).startswith(sha256)
    except OSError:
        return False


def stamp_of(path: pathlib.Path) -> pathlib.Path:
    """The file next to another one that notes its SHA-256."""
    return path.with_name(f"{path.name}.sha256")


def is_intact(path: pathlib.Path) -> bool:
    """Whether a file has the SHA-256 noted next to it."""
    stamp = stamp_of(path)
    return path.is_file() and stamp.is_file() and stamp.read_text() == file_sha256(path)


def stamp(path: pathlib.Path) -> None:
    """Notes the SHA-256 of a file next to it."""
    with atomic_write(stamp_of(path)) as temporary:
        temporary.write_text(file_sha256(path))


def discard(path: pathlib.Path) -> None:
    """Deletes a file that failed its check, if it exists, and logs a warning."""
    if path.exists():
        logger.warning(
            "%s is damaged or not the published file: deleting it and downloading it again.", path
        )
    path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    """Lets one process or thread at a time work on a file; the others wait.

    The operating system releases the lock of a process that dies.

    Args:
        path: The file. The lock file is `<path>.lock` next to it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(f"{path}.lock")
    try:
        lock.acquire(timeout=QUIET_WAIT)
    except filelock.Timeout:
        logger.warning("Another process is working on %s: waiting for it.", path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def storage_errors(path: pathlib.Path) -> Iterator[None]:
    """Turns the operating system's errors while storing `path` into a `DownloadError`.

    Raises:
        DownloadError: When the disk is full or the cache folder cannot be written to.
    """
    try:
        yield
    except DownloadError:
        raise
    except OSError as error:
        reason = error.strerror or error
        if error.errno in NO_SPACE:
            raise DownloadError(
                f"Not enough disk space for {path}: {reason}. Free some space and try again (the "
                f"download resumes), or set {HOME_VARIABLE} to a folder on another disk."
            ) from error
        raise DownloadError(
            f"The cache folder {path.parent} cannot be written to: {reason} "
            f"({error.filename or path}). Make it writable, or set {HOME_VARIABLE} to a writable "
            "folder."
        ) from error
