"""The files of a download as its owner publishes them: folders, zips, and zips inside zips.

Nothing is unpacked into place: a member is copied, when it is needed, to a temporary file whose
name is ours, so that no name inside an archive can point anywhere.
"""

import contextlib
import dataclasses
import pathlib
import shutil
import tempfile
import weakref
import zipfile
import zlib

MAX_BYTES = 4 * 2**30  # of one image; the largest original is a tenth of it
MAX_ARCHIVE_BYTES = 64 * 2**30  # of a zip inside a zip
ENCRYPTED = 0x1  # bit of a member's flags (zip specification, 4.4.4)
JUNK = ("__macosx", ".ds_store", "thumbs.db")  # what file managers leave in folders and zips


@dataclasses.dataclass(frozen=True)
class SourceFile:
    """One file: on disk, or a member of a zip.

    Args:
        name: Path relative to the folder of the download; a zip counts as a folder.
        path: The file itself, or the zip that holds it.
        member: Name inside the zip, or `None`.
        bytes: Size of the file.
    """

    name: str
    path: pathlib.Path
    member: str | None
    bytes: int

    @property
    def parts(self):
        """Lower-case names of folders, zips (without `.zip`) and file, outermost first."""
        return tuple(part.removesuffix(".zip") for part in self.name.lower().split("/"))

    @contextlib.contextmanager
    def opened(self):
        """Yields the content as a binary file; what is wrong with it becomes a `ValueError`."""
        try:
            if self.member is None:
                with open(self.path, "rb") as file:
                    yield file
            else:
                with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as file:
                    yield file
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise ValueError(f"{self.name} is damaged ({error}). Download it again.") from error
        except OSError as error:
            raise ValueError(f"{self.name} cannot be read ({error}).") from error

    @contextlib.contextmanager
    def on_disk(self, work_dir):
        """Yields a path to the content: the file itself, or a copy for as long as the block lasts.

        Args:
            work_dir: Folder for the copy.
        """
        if self.member is None:
            yield self.path
            return
        work_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=work_dir) as folder:
            yield self._copied(pathlib.Path(folder), MAX_BYTES)

    def _copied(self, folder, limit):
        if self.bytes > limit:
            raise ValueError(
                f"{self.name} unpacks to {self.bytes} bytes; at most {limit} are expected. "
                "It is not the published file."
            )
        target = folder / f"member{pathlib.PurePosixPath(self.name).suffix}"
        with self.opened() as source, open(target, "wb") as copy:
            shutil.copyfileobj(source, copy, 2**20)
        return target


def files_below(folder):
    """Name relative to the folder, to path, of every file in it; the argument of `SourceFiles`.

    Raises:
        ValueError: When `folder` is none.
    """
    folder = pathlib.Path(folder).expanduser()
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder.")
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in paths}


class SourceFiles:
    """Files, and what is inside those that are zips.

    Args:
        paths: Name to path.
        work_dir: Folder for what must be unpacked; made when needed.
        nested: Names of zips that are looked into when they lie inside another zip; they are
            unpacked for as long as this object lives.

    Raises:
        ValueError: When a zip is damaged or encrypted.
    """

    def __init__(self, paths, *, work_dir, nested=()):
        self._work_dir = work_dir
        self._nested = {name.lower() for name in nested}
        self.files = tuple(
            original for name, path in paths.items() for original in self._files(path, name)
        )

    def _files(self, path, name):
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
                yield from self._files(inner._copied(self._folder(), MAX_ARCHIVE_BYTES), inner.name)
            else:
                yield inner

    def _folder(self):
        """A new folder that is removed together with this object."""
        self._work_dir.mkdir(parents=True, exist_ok=True)
        folder = tempfile.mkdtemp(dir=self._work_dir)
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return pathlib.Path(folder)


def _is_junk(name):
    parts = name.lower().split("/")
    return any(part in JUNK for part in parts) or parts[-1].startswith("._")


def _members(path, name):
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
    except zipfile.BadZipFile as error:
        raise ValueError(f"{name} is not a whole zip file ({error}). Download it again.") from error
    if any(member.flag_bits & ENCRYPTED for member in members):
        raise ValueError(
            f"{name} is encrypted: unpack it with the password of the download page, and put the "
            "unpacked folder in its place."
        )
    return members
