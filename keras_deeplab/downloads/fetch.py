"""Files of the zoo: from the cache, else from the internet or a mirror."""

import logging
import os
import pathlib
import re
import shutil
import urllib.parse

from keras_deeplab._internal.files import file_sha256
from keras_deeplab.downloads import transfer
from keras_deeplab.downloads.cache import (
    DownloadError,
    cache_dir,
    discard,
    locked,
    matches,
    storage_errors,
)

OFFLINE_VARIABLE = "KERAS_DEEPLAB_OFFLINE"
MIRROR_VARIABLE = "KERAS_DEEPLAB_MIRROR"
OFF = {"", "0", "false", "no", "off"}  # values that leave offline mode off

logger = logging.getLogger("keras_deeplab")


def fetch(url, sha256, *, size=None):
    """The local copy of a published file, downloaded if need be.

    It lies in the cache folder (see `cache_dir`) under the last part of the URL's path, and is
    checked at every call; a damaged one is replaced. Several processes may ask at once: one
    downloads. Environment variables: `KERAS_DEEPLAB_MIRROR`, the start of another URL or a folder,
    is where the file is looked for instead; `KERAS_DEEPLAB_OFFLINE=1` keeps off the network;
    `HTTPS_PROXY` and the like work as usual.

    Args:
        url: An http or https URL.
        sha256: The file's SHA-256 in hex digits, or at least its first 8.
        size: Bytes of the file, if known; a server that sends others is refused.

    Returns:
        `pathlib.Path` of the checked file.

    Raises:
        ValueError: When URL or hash are not of this form.
        DownloadError: When the file cannot be had or stored; says why and what to do.
    """
    if not re.fullmatch(r"[0-9a-fA-F]{8,64}", sha256):
        raise ValueError(f"sha256={sha256!r} is not 8 to 64 hex digits.")
    sha256 = sha256.lower()
    path = cache_dir() / _file_name(url)
    # Needs no lock, and so no writable folder: a finished file is only ever replaced whole.
    if matches(path, sha256):
        return path
    source = source_of(url, path.name)
    if not isinstance(source, pathlib.Path):
        _refuse_offline(source, path, sha256)
    with storage_errors(path), locked(path):
        if not matches(path, sha256):  # else another process was quicker
            discard(path)
            _bring(source, path, sha256, size)
    return path


def _file_name(url):
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{transfer.shown(url)!r} is no http or https URL.")
    name = urllib.parse.unquote(parts.path.rpartition("/")[2])
    # A name that any system takes for a name, not for a path that leads out of the cache.
    if name in ("", ".", "..") or pathlib.PureWindowsPath(name).name != name:
        raise ValueError(f"{transfer.shown(url)!r} does not end in a file name.")
    return name


def source_of(url, name):
    """Where to look for the file: a URL, or the path of a local file."""
    mirror = os.environ.get(MIRROR_VARIABLE, "")
    if not mirror:
        return url
    if mirror.lower().startswith(("http://", "https://")):
        return f"{mirror.rstrip('/')}/{urllib.parse.quote(name)}"
    if "://" in mirror:
        raise DownloadError(
            f"{MIRROR_VARIABLE}={transfer.shown(mirror)} is neither the start of an http or https "
            "URL nor a folder: correct or unset it."
        )
    return pathlib.Path(mirror).expanduser() / name


def _refuse_offline(url, path, sha256):
    if os.environ.get(OFFLINE_VARIABLE, "").lower() in OFF:
        return
    fault = "is damaged or not the published file" if path.exists() else "is missing"
    raise DownloadError(
        f"{path} {fault}, and {OFFLINE_VARIABLE} forbids to download it. Put the file of "
        f"{transfer.shown(url)} (SHA-256 {sha256}) there, or unset {OFFLINE_VARIABLE}."
    )


def _bring(source, path, sha256, size):
    part = path.with_name(f"{path.name}.part")
    if isinstance(source, pathlib.Path):
        _copy(source, part, sha256)
    else:
        logger.info("Downloading %s to %s", transfer.shown(source), path)
        try:
            transfer.download(source, part, sha256, size)
        except DownloadError as error:
            raise DownloadError(
                f"{error} Try again later, name another source in {MIRROR_VARIABLE}, or put the "
                f"file at {path} yourself."
            ) from error
    os.replace(part, path)


def _copy(source, part, sha256):
    try:
        file = open(source, "rb")  # noqa: SIM115, only its own errors are the mirror's
    except OSError as error:
        raise DownloadError(
            f"{MIRROR_VARIABLE} is set, but {source} cannot be read: {error.strerror}. Put the "
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
