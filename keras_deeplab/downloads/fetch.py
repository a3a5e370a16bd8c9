"""Fetch a published file: from the cache, else from its URL or a mirror."""

import logging
import os
import pathlib
import re
import shutil
import urllib.parse
from collections.abc import Callable
from typing import Any

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import file_sha256
from keras_deeplab.downloads import transfer
from keras_deeplab.downloads.cache import (
    DownloadError,
    cache_dir,
    discard,
    is_intact,
    locked,
    matches,
    stamp,
    stamp_of,
    storage_errors,
)

OFFLINE_VARIABLE = "KERAS_DEEPLAB_OFFLINE"
MIRROR_VARIABLE = "KERAS_DEEPLAB_MIRROR"
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
OFF = {"", "0", "false", "no", "off"}  # values of the variable that do not enable offline mode

logger = logging.getLogger("keras_deeplab")


def fetch(url: str, sha256: str, *, size: int | None = None) -> pathlib.Path:
    """Returns the local copy of a published file; downloads it if necessary.

    The copy is in the cache folder (see `cache_dir`) under the last part of the URL's path. Every
    call checks its hash and replaces a damaged copy. If several processes call at once, one
    downloads. Environment variables:

    - `KERAS_DEEPLAB_MIRROR`: a URL prefix or a folder to get the file from instead.
    - `KERAS_DEEPLAB_OFFLINE=1`: never use the network.
    - Proxy variables such as `HTTPS_PROXY` work as usual.

    Args:
        url: An http or https URL.
        sha256: The file's SHA-256 in hex digits, or at least its first 8. See `fetch_unhashed` for
            a file without.
        size: Bytes of the file, if known. A download of another size is an error.

    Returns:
        Path of the checked file.

    Raises:
        ValueError: When URL or hash are malformed.
        DownloadError: When the file cannot be downloaded or stored; says why and what to do.
    """
    if not re.fullmatch(r"[0-9a-fA-F]{8,64}", sha256):
        raise InputError(f"sha256={sha256!r} is not 8 to 64 hex digits.")
    sha256 = sha256.lower()
    path = cache_dir() / _file_name(url)
    # No lock, so that a read-only cache folder works: a finished file is only replaced atomically.
    if matches(path, sha256):
        return path
    source = source_of(url, path.name)
    if not isinstance(source, pathlib.Path):
        _refuse_offline(source, path, sha256)
    with storage_errors(path), locked(path):
        if not matches(path, sha256):  # else another process has just downloaded it
            discard(path)
            _bring(source, path, sha256, size)
    return path


def fetch_unhashed(
    url: str, check: Callable[[pathlib.Path], Any], *, size: int | None = None
) -> pathlib.Path:
    """As `fetch`, for a file whose publisher gives no hash.

    Nobody can tell whether the first download is the published file. So it comes over TLS, except
    from this machine or a mirror, and `check` reads it; its SHA-256 is noted in `<file>.sha256`,
    and every later call compares it.

    Args:
        url: An http or https URL; http is replaced by https.
        check: Function of the path that raises an error for a damaged file. Such a file is deleted.
        size: As in `fetch`.
    """
    path = cache_dir() / _file_name(url)
    if is_intact(path):
        return path
    source = source_of(_with_tls(url), path.name)
    damaged = stamp_of(path).exists()
    if not isinstance(source, pathlib.Path) and (damaged or not path.is_file()):
        _refuse_offline(source, path, "not published")
    with storage_errors(path), locked(path):
        if not is_intact(path):
            if stamp_of(path).exists():
                discard(path)
                stamp_of(path).unlink()
            if not path.is_file():  # else somebody put it there
                _bring(source, path, "", size)
            try:
                check(path)
            except Exception:
                path.unlink()
                raise
            stamp(path)
    return path


def _with_tls(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        parts = parts._replace(scheme="https")
    return urllib.parse.urlunsplit(parts)


def _file_name(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"{transfer.shown(url)!r} is not an http or https URL.")
    name = urllib.parse.unquote(parts.path.rpartition("/")[2])
    # Must be a plain file name on every system, not a path that leads out of the cache.
    if name in ("", ".", "..") or pathlib.PureWindowsPath(name).name != name:
        raise InputError(f"{transfer.shown(url)!r} does not end in a file name.")
    return name


def source_of(url: str, name: str) -> str | pathlib.Path:
    """Where to get the file: a URL, or the path of a local file when the mirror is a folder."""
    mirror = os.environ.get(MIRROR_VARIABLE, "")
    if not mirror:
        return url
    if mirror.lower().startswith(("http://", "https://")):
        return f"{mirror.rstrip('/')}/{urllib.parse.quote(name)}"
    if "://" in mirror:
        raise DownloadError(
            f"{MIRROR_VARIABLE}={transfer.shown(mirror)} is neither an http or https URL prefix "
            "nor a folder. Correct or unset it."
        )
    return pathlib.Path(mirror).expanduser() / name


def _refuse_offline(url: str, path: pathlib.Path, sha256: str) -> None:
    if os.environ.get(OFFLINE_VARIABLE, "").lower() in OFF:
        return
    fault = "is damaged or not the published file" if path.exists() else "is missing"
    raise DownloadError(
        f"{path} {fault}, and {OFFLINE_VARIABLE} forbids downloading it. Copy the file from "
        f"{transfer.shown(url)} (SHA-256 {sha256}) to that path, or unset {OFFLINE_VARIABLE}."
    )


def _bring(source: str | pathlib.Path, path: pathlib.Path, sha256: str, size: int | None) -> None:
    part = path.with_name(f"{path.name}.part")
    if isinstance(source, pathlib.Path):
        _copy(source, part, sha256)
    else:
        logger.info("Downloading %s to %s", transfer.shown(source), path)
        try:
            transfer.download(source, part, sha256, size)
        except DownloadError as error:
            raise DownloadError(
                f"{error} Try again later, set {MIRROR_VARIABLE} to another source, or copy the "
                f"file to {path} yourself."
            ) from error
    os.replace(part, path)


def _copy(source: pathlib.Path, part: pathlib.Path, sha256: str) -> None:
    try:
        file = open(source, "rb")  # noqa: SIM115, only errors of opening are the mirror's fault
    except OSError as error:
        raise DownloadError(
            f"{MIRROR_VARIABLE} is set, but {source} cannot be read: {error.strerror}. Copy the "
            f"file there, or unset {MIRROR_VARIABLE}."
        ) from error
    with file, open(part, "wb") as target:
        shutil.copyfileobj(file, target)
    digest = file_sha256(part)
    if not digest.startswith(sha256):
        part.unlink()
        raise DownloadError(
            f"{source} is not the published file: its SHA-256 is {digest}, expected {sha256}. "
            f"Replace it, or unset {MIRROR_VARIABLE}."
        )
