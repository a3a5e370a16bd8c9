"""HTTP download of one file: retries, resuming, and a size limit on what the server sends."""

import contextlib
import logging
import pathlib
import re
import ssl
import sys
import time
import urllib.parse
from collections.abc import Iterator

import requests
import tqdm

from keras_deeplab._internal.files import file_sha256
from keras_deeplab.downloads.cache import DownloadError, matches

DELAYS = (1.0, 2.0, 4.0, 8.0)  # seconds before the second and later attempts
LONGEST_DELAY = 60.0  # seconds; upper limit of a Retry-After header
TIMEOUTS = (10.0, 30.0)  # seconds to connect, and between two chunks of the body
MAX_BYTES = 2 * 2**30  # limit for a file whose size the caller does not know
CHUNK = 2**16  # bytes; what a dropped connection loses at most
RETRIED = {408, 425, 429, 500, 502, 503, 504}
TRANSIENT = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,  # a dropped connection, even if not chunked
)
HINTS = {401: "access denied", 403: "access denied", 404: "file not found"}

logger = logging.getLogger("keras_deeplab")


class _Interrupted(Exception):
    """A failed attempt that is worth a retry; `delay` is what the server asks for, in seconds."""

    def __init__(self, reason: str, delay: float = 0.0) -> None:
        super().__init__(reason)
        self.delay = delay


def download(url: str, part: pathlib.Path, sha256: str, size: int | None = None) -> None:
    """Downloads into a partial file, with retries, until its hash matches.

    Args:
        url: An http or https URL.
        part: The partial file. If it exists, the download resumes after its last byte when the
            server supports it.
        sha256: Lower-case hex digits that the SHA-256 starts with; "" where it is not known.
        size: Bytes of the file, if known.

    Raises:
        DownloadError: When the server refuses, sends another file, or all attempts failed.
    """
    if sha256 and matches(
        part, sha256
    ):  # a process was killed just before it could rename the file
        return
    most_received = failures = 0
    while True:
        try:
            return _attempt(url, part, sha256, size)
        except _Interrupted as stop:
            reason, delay = str(stop), stop.delay
        # Progress resets the count: a large file over a bad connection takes many attempts. The
        # loop still ends because the file's size is limited.
        received = _size(part)
        failures = 1 if received > most_received else failures + 1
        most_received = max(most_received, received)
        if failures > len(DELAYS):
            raise DownloadError(f"{shown(url)}: {reason}. {failures} attempts failed.")
        delay = max(DELAYS[failures - 1], delay)
        logger.warning("%s: %s. Next attempt in %g s.", shown(url), reason, delay)
        time.sleep(delay)


def shown(url: str) -> str:
    """A URL for messages: without user, password and query, which may contain secrets."""
    parts = urllib.parse.urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urllib.parse.urlunsplit((parts.scheme, host, parts.path, "", ""))


def _attempt(url: str, part: pathlib.Path, sha256: str, size: int | None) -> None:
    resumed = _size(part) > 0
    total = _transfer(url, part, size)
    digest = file_sha256(part)
    if digest.startswith(sha256):
        return
    part.unlink()
    if resumed or total is None:
        # The first bytes may be of an older file, or the body of unknown length was cut.
        raise _Interrupted("the SHA-256 of the download is wrong, starting over")
    raise DownloadError(
        f"{shown(url)} is not the published file: its SHA-256 is {digest}, expected {sha256}. "
        "Nothing was stored. Either the file on the server was replaced, or something in between "
        "(a proxy, a login page) answered instead."
    )


def _transfer(url: str, part: pathlib.Path, size: int | None) -> int | None:
    """Appends what is missing to `part`; returns the size of the file, `None` if unknown."""
    offset = _size(part)
    with _request(url, offset) as response:
        if response.status_code == 416 or (
            response.status_code == 206 and _range(response)[0] != offset
        ):
            part.unlink(missing_ok=True)
            raise _Interrupted("the server cannot resume the download, starting over")
        start = offset if response.status_code == 206 else 0
        total = _total(response, url, size)
        limit = MAX_BYTES if total is None else total
        received = _store(response, url, part, start, total, limit)
    if received > limit:
        part.unlink()
        raise DownloadError(f"{shown(url)} sends more than the {limit} bytes expected.")
    if total is not None and received < total:
        raise _Interrupted(f"the connection was closed after {received} of {total} bytes")
    return total


@contextlib.contextmanager
def _request(url: str, offset: int) -> Iterator[requests.Response]:
    headers = {"Accept-Encoding": "identity"}  # so that sizes and ranges are those of the file
    if offset:
        headers["Range"] = f"bytes={offset}-"
    with _network_errors(url):
        response = requests.get(url, headers=headers, stream=True, timeout=TIMEOUTS)
    with response:
        code = response.status_code
        if code in RETRIED:
            retry_after = response.headers.get("Retry-After", "")
            delay = min(float(retry_after), LONGEST_DELAY) if retry_after.isdecimal() else 0.0
            raise _Interrupted(f"the server answered {code} {response.reason}", delay)
        if code not in (200, 206, 416):
            hint = HINTS.get(code, "the server sends no file")
            raise DownloadError(f"{shown(url)}: {hint} ({code} {response.reason}).")
        yield response


def _range(response: requests.Response) -> tuple[int | None, int | None]:
    """First byte and size of the whole file from Content-Range; `None` where it does not say."""
    text = response.headers.get("Content-Range", "")
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", text.strip())
    if not found:
        return None, None
    return int(found[1]), None if found[2] == "*" else int(found[2])


def _total(response: requests.Response, url: str, size: int | None) -> int | None:
    length = response.headers.get("Content-Length", "")
    if response.status_code == 206:
        total = _range(response)[1]
    elif response.headers.get("Content-Encoding", "identity") == "identity" and length.isdecimal():
        total = int(length)
    else:
        total = None
    if size is not None and total not in (None, size):
        raise DownloadError(f"{shown(url)} has {total} bytes, expected {size}: not the same file.")
    if size is None and total is not None and total > MAX_BYTES:
        raise DownloadError(f"{shown(url)} has {total} bytes; at most {MAX_BYTES} are allowed.")
    return size if total is None else total


def _store(
    response: requests.Response,
    url: str,
    part: pathlib.Path,
    start: int,
    total: int | None,
    limit: int,
) -> int:
    """Writes the body up to the limit; returns the bytes received, including dropped ones."""
    received = start
    with open(part, "ab" if start else "wb") as file, _bar(part.stem, start, total) as bar:
        for chunk in _chunks(response, url):
            received += len(chunk)
            if received > limit:
                break
            file.write(chunk)
            bar.update(len(chunk))
    return received


def _chunks(response: requests.Response, url: str) -> Iterator[bytes]:
    with _network_errors(url):
        yield from response.iter_content(CHUNK)


@contextlib.contextmanager
def _network_errors(url: str) -> Iterator[None]:
    outer = sys.exception()  # the exception that a caller is already handling, if any
    try:
        yield
    except requests.RequestException as error:
        # The innermost error has the operating system's message without the wrapping.
        cause: BaseException = error
        while cause.__context__ is not None and cause.__context__ is not outer:
            cause = cause.__context__
        if isinstance(error, TRANSIENT) and not isinstance(cause, ssl.SSLCertVerificationError):
            raise _Interrupted(f"{type(error).__name__}, {cause}") from error
        raise DownloadError(f"{shown(url)}: {type(error).__name__}, {cause}.") from error


def _bar(name: str, start: int, total: int | None) -> tqdm.tqdm:
    return tqdm.tqdm(
        desc=name,
        initial=start,
        total=total,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        mininterval=0.5 if sys.stderr.isatty() else 30.0,
    )


def _size(path: pathlib.Path) -> int:
    return path.stat().st_size if path.exists() else 0
