"""Files that appear whole or not at all, and their hashes."""

import contextlib
import hashlib
import os
import pathlib


@contextlib.contextmanager
def written_whole(path):
    """Gives a path beside `path` to write to, and renames it to `path` at the end.

    After an error the old file, if any, is still there and the new one is gone. The temporary name
    keeps the suffixes of `path`: writers choose their format by them.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def file_sha256(path):
    """SHA-256 of a file as 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_md5(path):
    """MD5 of a file as 32 hex digits: for data sets whose owners publish no better checksum."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
