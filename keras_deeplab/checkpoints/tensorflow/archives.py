"""Unpacking the checkpoint of a published `.tar.gz` archive, which may be damaged or malicious.

Names in the archive never become paths: the files of the checkpoint get names of ours, in a new
folder that is deleted afterwards.
"""

import contextlib
import gzip
import io
import pathlib
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from typing import Any

from keras_deeplab.checkpoints.errors import CheckpointError

MAX_MEMBERS = 1000  # of an archive; the published ones have about five
MAX_BYTES = 2 * 2**30  # of everything in it; the largest published one unpacks to about 0.7 GB
MAX_READ = 2**20  # bytes at once: tarfile reads the extended header of a member as a whole
PREFIX = "model.ckpt"  # of the unpacked files
# The files of a checkpoint: its prefix, then what the file is.
CHECKPOINT_FILE = re.compile(r"(?P<prefix>.+)\.(?P<part>index|data-\d{5}-of-\d{5})")

_DAMAGED = (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, UnicodeDecodeError)


@contextlib.contextmanager
def unpacked_checkpoint(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields the prefix of the checkpoint in a `.tar.gz` archive, unpacked to a temporary folder.

    The frozen graph and everything else in the archive is read to check it, and not unpacked.

    Raises:
        CheckpointError: When the archive is damaged, has no or several checkpoints, or has members
            that a published one does not: links, devices, paths out of the folder, too many or too
            large files. Nothing is left over.
    """
    with tempfile.TemporaryDirectory(prefix="keras_deeplab-") as folder:
        target = pathlib.Path(folder)
        try:
            with gzip.open(path) as stream:
                _unpack(_Limited(stream), target)
        except _DAMAGED as error:
            raise CheckpointError(f"{path} is damaged: {error}. Download it again.") from error
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error
        yield target / PREFIX


class _Limited(io.RawIOBase):
    """A stream that refuses to be read further, or more at once, than a checkpoint needs."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        super().__init__()
        self.stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.stream.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("seek from the start")
        _check_size(offset)
        return self.stream.seek(offset)

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_READ:
            raise CheckpointError(f"a header of {size} bytes is too large.")
        _check_size(self.tell() + size)
        return self.stream.read(size)


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise CheckpointError(f"the content is larger than the limit of {MAX_BYTES} bytes.")


def _unpack(stream: Any, target: pathlib.Path) -> None:
    prefix = None
    with tarfile.open(fileobj=stream, mode="r:") as archive:
        for count, member in enumerate(archive, start=1):
            _check(member, count)
            found = CHECKPOINT_FILE.fullmatch(member.name)
            if found is None or member.isdir():
                continue
            if prefix not in (None, found["prefix"]):
                raise CheckpointError(
                    f"it has several checkpoints, {prefix} and {found['prefix']}: unpack it, and "
                    "give the .index file of one."
                )
            prefix = found["prefix"]
            _copy(archive, member, target / f"{PREFIX}.{found['part']}")
        while stream.read(MAX_READ):  # gzip checks its sum at the end
            pass
    if prefix is None:
        raise CheckpointError(
            "it has no checkpoint: no file ends in .index or .data-00000-of-00001."
        )


def _check(member: tarfile.TarInfo, count: int) -> None:
    """Raises a `CheckpointError` for a member that a published archive does not have."""
    name = repr(member.name[:200])
    if count > MAX_MEMBERS:
        raise CheckpointError(f"it has more than {MAX_MEMBERS} files.")
    parts = re.split(r"[/\\]", member.name)
    if ".." in parts or parts[0] == "" or ":" in parts[0] or "\0" in member.name:
        raise CheckpointError(f"the path {name} leads out of the archive.")
    if not (member.isfile() or member.isdir()) or member.issparse():
        raise CheckpointError(f"{name} is neither a plain file nor a folder.")
    if member.size < 0:
        raise CheckpointError(f"{name} has a size of {member.size} bytes.")
    _check_size(member.offset_data + member.size)


def _copy(archive: tarfile.TarFile, member: tarfile.TarInfo, target: pathlib.Path) -> None:
    source = archive.extractfile(member)
    assert source is not None  # it is a file
    if target.exists():
        raise CheckpointError(f"{member.name!r} occurs twice.")
    with source, target.open("xb") as file:
        shutil.copyfileobj(source, file, MAX_READ)
    if target.stat().st_size != member.size:
        raise CheckpointError(f"{member.name!r} is cut off. Download the archive again.")
