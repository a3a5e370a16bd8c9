"""Files that appear whole or not at all, JSON among them, and their hashes."""

import contextlib
import hashlib
import json
import math
import os
import pathlib


@contextlib.contextmanager
def atomic_write(path):
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


def write_json(path, value):
    """Writes a value as indented JSON, whole or not at all."""
    text = json.dumps(value, indent=1, allow_nan=False) + "\n"
    with atomic_write(path) as beside:
        beside.write_text(text, encoding="utf-8")


def without_nan(value):
    """A number, list, tuple or dict with `None` for NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def file_sha256(path):
    """SHA-256 of a file as 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_md5(path):
    """MD5 of a file as 32 hex digits: for data sets whose owners publish no better checksum."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
