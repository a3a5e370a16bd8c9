"""The files of a download as published: folders, zips, and zips inside zips.

Archives are not unpacked as a whole. A member is copied, when it is needed, to a temporary file
with a fixed name, so that no name inside an archive can lead outside the folder.
"""

import contextlib
import dataclasses
import pathlib
import shutil
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath

MAX_BYTES = 4 * 2**30  # of one image; the largest original has a tenth of this
MAX_ARCHIVE_BYTES = 64 * 2**30  # of a zip inside a zip
ENCRYPTED = 0x1  # bit of a member's flags (zip specification, 4.4.4)
JUNK = ("__macosx", ".ds_store", "thumbs.db")  # files that file managers create


@dataclasses.dataclass(frozen=True)
class SourceFile:
    """One file: on disk, or a member of a zip.

    Args:
        name: Path relative to the folder of the download; a zip counts as a folder.
        path: The file itself, or the zip that contains it.
        member: Name inside the zip, or `None`.
        bytes: Size of the file.
    """

    name: str
    path: pathlib.Path
    member: str | None
    bytes: int

    @property
    def parts(self) -> tuple[str, ...]:
        """Lower-case names of folders, zips (without `.zip`) and file, outermost first."""
        return tuple(part.removesuffix(".zip") for part in self.name.lower().split("/"))

    @contextlib.contextmanager
    def opened(self) -> Iterator[IO[Any]]:
        """Yields the content as a binary file; a damaged file is a `ValueError`."""
        try:
            if self.member is None:
                with open(self.path, "rb") as file:
                    yield file
            else:
                with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as member:
                    yield member
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise InputError(f"{self.name} is damaged ({error}). Download it again.") from error
        except OSError as error:
            raise InputError(f"{self.name} cannot be read ({error}).") from error

    @contextlib.contextmanager
    def on_disk(self, work_dir: pathlib.Path) -> Iterator[pathlib.Path]:
        """Yields a path to the content: the file itself, or a copy in `work_dir`.

        The copy is removed at the end of the `with` block.
        """
        if self.member is None:
            yield self.path
            return
        work_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=work_dir) as folder:
            yield self.copied(pathlib.Path(folder), MAX_BYTES)

    def copied(self, folder: pathlib.Path, limit: int) -> pathlib.Path:
        """Copies the content into a folder; more than `limit` bytes are a `ValueError`."""
        if self.bytes > limit:
            raise InputError(
                f"{self.name} unpacks to {self.bytes} bytes, expected at most {limit}: not the "
                "published file."
            )
        target = folder / f"member{pathlib.PurePosixPath(self.name).suffix}"
        with self.opened() as source, open(target, "wb") as copy:
            shutil.copyfileobj(source, copy, 2**20)
        return target


def files_below(folder: StrPath) -> dict[str, pathlib.Path]:
    """Relative name to path of every file in a folder; the argument of `SourceFiles`.

    Raises:
        ValueError: When `folder` is not a folder.
    """
    folder = pathlib.Path(folder).expanduser()
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.")
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in paths}


class SourceFiles:
    """Files, including those inside zips.

    Args:
        paths: Name to path.
        work_dir: Folder for unpacked zips; created when needed.
        nested: Names of zips inside other zips to open too. They are unpacked and removed together
            with this object.

    Raises:
        ValueError: When a zip is damaged or encrypted.
    """

    def __init__(
        self,
        paths: Mapping[str, pathlib.Path],
        *,
        work_dir: pathlib.Path,
        nested: Iterable[str] = (),
    ) -> None:
        self._work_dir = work_dir
        self._nested = {name.lower() for name in nested}
        self.files = tuple(
            original for name, path in paths.items() for original in self._files(path, name)
        )

    def _files(self, path: pathlib.Path, name: str) -> Iterator[SourceFile]:
        if _is_junk(name):
            return
        if path.suffix.lower() != ".zip":
            yield SourceFile(name, path, None, path.stat().st_size)
            return
        for member in _members(path, name):
            inner = SourceFile(f"{name}/{member.filename}", path, member.filename, member.file_size)
            if _is_junk(inner.name):
                continue
            if pathlib.PurePosixPath(member.filename).name.lower() in self._nested:
                yield from self._files(inner.copied(self._folder(), MAX_ARCHIVE_BYTES), inner.name)
            else:
                yield inner

    def _folder(self) -> pathlib.Path:
        """A new folder that is removed together with this object."""
        self._work_dir.mkdir(parents=True, exist_ok=True)
        folder = tempfile.mkdtemp(dir=self._work_dir)
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return pathlib.Path(folder)


def _is_junk(name: str) -> bool:
    parts = name.lower().split("/")
    return any(part in JUNK for part in parts) or parts[-1].startswith("._")


def _members(path: pathlib.Path, name: str) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
    except zipfile.BadZipFile as error:
        raise InputError(f"{name} is a damaged zip file ({error}). Download it again.") from error
    if any(member.flag_bits & ENCRYPTED for member in members):
        raise InputError(
            f"{name} is encrypted: unpack it with the password from the download page, and replace "
            "it by the unpacked folder."
        )
    return members
