"""The folder of downloaded files: where it is, who may write to it, which files can be trusted."""

import contextlib
import errno
import logging
import os
import pathlib

import filelock

from keras_deeplab._internal.files import file_sha256

HOME_VARIABLE = "KERAS_DEEPLAB_HOME"
QUIET_WAIT = 2.0  # seconds to wait for another process before saying so
NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

logger = logging.getLogger("keras_deeplab")


class DownloadError(OSError):
    """A file that could not be had, with what went wrong, where, and what to do.

    An `OSError`, and no `CheckpointError`: network, disk or settings are at fault, not the content
    of a weights file, so a caller may sensibly try again.
    """


def cache_dir():
    """Folder of the downloaded files; it need not exist yet.

    Returns:
        `$KERAS_DEEPLAB_HOME` if set, else `$KERAS_HOME/keras_deeplab` if that is set, else
        `~/.keras/keras_deeplab`.
    """
    own = os.environ.get(HOME_VARIABLE)
    folder = own or os.path.join(os.environ.get("KERAS_HOME") or "~/.keras", "keras_deeplab")
    return pathlib.Path(folder).expanduser().absolute()


def matches(path, sha256):
    """Whether a file is there, readable, and has a SHA-256 that starts with these digits."""
    try:
        return path.is_file() and file_sha256(path).startswith(sha256)
    except OSError:
        return False


def discard(path):
    """Deletes a file that failed its check, if there is one, and says so."""
    if path.exists():
        logger.warning("%s is damaged or not the published file: deleted, fetched anew.", path)
    path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path):
    """Lets one process, or thread, at a time work on a file; the others wait.

    The operating system frees the lock of a process that dies.

    Args:
        path: The file; the lock is `<path>.lock` beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(f"{path}.lock")
    try:
        lock.acquire(timeout=QUIET_WAIT)
    except filelock.Timeout:
        logger.warning("Another process is fetching %s: waiting for it.", path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def storage_errors(path):
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
                f"No room for {path}: {reason}. Free some space there and try again (what has "
                f"arrived is kept), or set {HOME_VARIABLE} to a folder on another disk."
            ) from error
        raise DownloadError(
            f"The cache folder {path.parent} cannot be written to: {reason} "
            f"({error.filename or path}). Make it writable, or set {HOME_VARIABLE} to a folder "
            "that is."
        ) from error
