"""Atomic writes of files and folders, JSON among them, and file hashes."""

import contextlib
import hashlib
import json
import math
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

StrPath = str | os.PathLike[str]
"""A path as `open` takes it: what every function with a path parameter accepts."""


@contextlib.contextmanager
def atomic_write(path: StrPath) -> Iterator[pathlib.Path]:
    """Yields a temporary path next to `path` to write to, and renames it to `path` at the end.

    After an error the old file, if any, is unchanged and the new one is removed. The temporary name
    keeps the suffixes of `path`, because writers choose their format by them.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replace_together(
    paths: Sequence[pathlib.Path], *, stale: Sequence[pathlib.Path] = ()
) -> Iterator[pathlib.Path]:
    """Yields a new folder to write files or folders of these names to; then moves all into place.

    After an error the old ones are unchanged and the new ones removed. The last path is the one
    that readers open first: it is away while the others change, so no process reads a mixture.
    Files in `stale`, of the same folder, describe the old ones: they go with them.
    """
    parent = paths[0].parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{paths[-1].name}-", dir=parent) as folder:
        new, old = pathlib.Path(folder) / "new", pathlib.Path(folder) / "old"
        new.mkdir()
        old.mkdir()
        yield new
        try:
            for path in (*reversed(paths), *stale):
                if path.exists():
                    path.rename(old / path.name)
            for path in paths:
                (new / path.name).rename(path)
        except BaseException:
            for path in (*stale, *paths):
                if (old / path.name).exists():
                    _remove(path)
                    (old / path.name).rename(path)
                elif path in paths and not (new / path.name).exists():  # it was moved
                    _remove(path)
            raise


def _remove(path: pathlib.Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def parts_folder(target: pathlib.Path) -> pathlib.Path:
    """Folder next to a file, of what it is made from while it is not complete."""
    return target.with_name(f".{target.name}.parts")


def write_json(path: StrPath, value: Any) -> None:
    """Writes a value as indented JSON with `atomic_write`. NaN is a `ValueError`."""
    text = json.dumps(value, indent=1, allow_nan=False) + "\n"
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def without_nan(value: Any) -> Any:
    """Replaces NaN, which JSON does not have, by `None` in a number, list, tuple or dict."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def file_sha256(path: StrPath) -> str:
    """SHA-256 of a file as 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_md5(path: StrPath) -> str:
    """MD5 of a file as 32 hex digits, for datasets whose owners publish no better checksum."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
