"""Converted models on disk: checked by hash, shared by processes, bounded in size."""

import contextlib
import logging
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator

from keras_deeplab._internal.files import file_sha256
from keras_deeplab.downloads.cache import HOME_VARIABLE, DownloadError, cache_dir, locked

LIMIT = 4_000_000_000  # bytes; the model that was not used for the longest time is deleted first
SUMS = "SHA256SUMS"  # in the format of sha256sum

logger = logging.getLogger("keras_deeplab")
_warned: set[pathlib.Path] = set()  # folders that could not be written to


def model_folder(key: str) -> pathlib.Path:
    """Folder of everything that is kept of a model, by `ModelSource.key`."""
    return cache_dir() / "runtimes" / key


@contextlib.contextmanager
def converted_model(
    key: str, name: str, convert: Callable[[pathlib.Path], None]
) -> Iterator[pathlib.Path]:
    """The folder of a converted model; `convert` fills it unless it is in the cache.

    A damaged folder is converted again. Where the cache cannot be written to, the model is
    converted into a temporary folder.

    Args:
        key: Key of the model.
        name: Name of this conversion, for example `"onnx-512x512"`.
        convert: Function that writes the files of the conversion into an empty folder.
    """
    target = model_folder(key) / name
    with contextlib.suppress(OSError):  # none yet, or a cache that others own
        os.utime(target)  # before it is read: other processes delete what was not used for long
    if not _is_intact(target):
        try:
            _fill(target, convert)
        except DownloadError:  # of the weights
            raise
        except OSError as error:
            _warn_once(target.parents[1], error)
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                convert(pathlib.Path(folder))
                yield pathlib.Path(folder)
            return
    yield target


def _warn_once(folder: pathlib.Path, error: OSError) -> None:
    if folder not in _warned:
        logger.warning(
            "The cache cannot be written to (%s): the model is converted again at every start. "
            "Make it writable, or set %s to a writable folder.",
            error,
            HOME_VARIABLE,
        )
        _warned.add(folder)


def _is_intact(folder: pathlib.Path) -> bool:
    """Whether a folder holds the files that were written to it."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
        sums = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
        # All files of the folder are listed, and nothing elsewhere.
        listed = bool(sums) and {path.name for path in folder.iterdir()} == {SUMS, *sums}
        return listed and all(file_sha256(folder / name) == sums[name] for name in sums)
    except (OSError, ValueError):
        return False


def _fill(target: pathlib.Path, convert: Callable[[pathlib.Path], None]) -> None:
    with locked(target):
        if _is_intact(target):  # another process was quicker
            return
        if target.exists():
            logger.warning("%s is damaged: converting the model again.", target)
            shutil.rmtree(target)
        new = target.with_name(f".{target.name}.new")  # one name: a killed process leaves one
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        try:
            convert(new)
            sums = (f"{file_sha256(path)}  {path.name}\n" for path in sorted(new.iterdir()))
            (new / SUMS).write_text("".join(sums), encoding="utf-8")
            new.rename(target)
        finally:
            shutil.rmtree(new, ignore_errors=True)
        _delete_oldest(keep=target)


def _delete_oldest(keep: pathlib.Path) -> None:
    """Deletes converted models, and what killed processes left, until the cache is in its limit."""
    found = []  # of each folder the time of its last use, its bytes, and its path
    for folder in keep.parents[1].glob("*/*/"):
        with contextlib.suppress(OSError):  # another process is deleting it
            size = sum(path.stat().st_size for path in folder.iterdir())
            found.append((folder.stat().st_mtime, size, folder))
    total = sum(size for _, size, _ in found)
    for _, size, folder in sorted(found):
        if total > LIMIT and folder != keep:
            total -= size
            shutil.rmtree(folder, ignore_errors=True)
