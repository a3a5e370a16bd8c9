"""One file over HTTP: attempts, resuming, and limits on what a server can make us store."""

import contextlib
import logging
import re
import ssl
import sys
import time
import urllib.parse

import requests
import tqdm

from keras_deeplab._internal.files import file_sha256
from keras_deeplab.downloads.cache import DownloadError, matches

DELAYS = (1.0, 2.0, 4.0, 8.0)  # seconds before the second and later attempts
LONGEST_DELAY = 60.0  # seconds; a server may ask for a longer delay than ours up to this
TIMEOUTS = (10.0, 30.0)  # seconds to connect, and between two pieces of the body
MAX_BYTES = 2 * 2**30  # of a file whose size the caller does not know
CHUNK = 2**16  # so much is lost at most when a connection is cut
RETRIED = {408, 425, 429, 500, 502, 503, 504}
PASSING = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,  # a cut connection, also of a body without chunks
)
HINTS = {401: "access is refused", 403: "access is refused", 404: "no such file is there"}

logger = logging.getLogger("keras_deeplab")


class _Interrupted(Exception):
    """An attempt that failed in a way another one may not; `delay` is the server's wish."""

    def __init__(self, reason, delay=0.0):
        super().__init__(reason)
        self.delay = delay


def download(url, part, sha256, size=None):
    """Completes a partial file until its hash fits.

    Args:
        url: An http or https URL.
        part: Path of the partial file; what it holds already is not transferred again when the
            server can resume.
        sha256: Lower-case hex digits that the SHA-256 starts with.
        size: Bytes of the file, if known.

    Raises:
        DownloadError: When the server refuses, serves another file, or all attempts failed.
    """
    if matches(part, sha256):  # a process was killed just before it could rename the file
        return
    furthest = failures = 0
    while True:
        try:
            return _attempt(url, part, sha256, size)
        except _Interrupted as stop:
            reason, delay = stop, stop.delay
        # An attempt that got further than all before does not count: a large file over a bad
        # line takes many. It ends nevertheless, as the file's size is limited.
        arrived = _size(part)
        failures = 1 if arrived > furthest else failures + 1
        furthest = max(furthest, arrived)
        if failures > len(DELAYS):
            raise DownloadError(f"{shown(url)}: {reason}. {failures} attempts failed.")
        delay = max(DELAYS[failures - 1], delay)
        logger.warning("%s: %s. Next attempt in %g s.", shown(url), reason, delay)
        time.sleep(delay)


def shown(url):
    """A URL for messages: without user, password and query, which may hold secrets."""
    parts = urllib.parse.urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urllib.parse.urlunsplit((parts.scheme, host, parts.path, "", ""))


def _attempt(url, part, sha256, size):
    resumed = _size(part) > 0
    total = _transfer(url, part, size)
    digest = file_sha256(part)
    if digest.startswith(sha256):
        return
    part.unlink()
    if resumed or total is None:
        # The first bytes may be of an older file; and a cut body of unknown length looks whole.
        raise _Interrupted("what arrived has the wrong SHA-256, starting over")
    raise DownloadError(
        f"{shown(url)} is not the published file: its SHA-256 is {digest}, expected {sha256}. "
        "Nothing was stored. It was replaced there, or something on the way (a proxy, a login "
        "page) answered instead."
    )


def _transfer(url, part, size):
    """Appends what is missing to `part`; returns the file's size, or None when nobody knows it."""
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
        arrived = _store(response, url, part, start, total, limit)
    if arrived > limit:
        part.unlink()
        raise DownloadError(f"{shown(url)} sends more than the {limit} bytes expected.")
    if total is not None and arrived < total:
        raise _Interrupted(f"the connection was cut after {arrived} of {total} bytes")
    return total


@contextlib.contextmanager
def _request(url, offset):
    headers = {"Accept-Encoding": "identity"}  # sizes and ranges are those of the file itself
    if offset:
        headers["Range"] = f"bytes={offset}-"
    with _network_errors(url):
        response = requests.get(url, headers=headers, stream=True, timeout=TIMEOUTS)
    with response:
        code = response.status_code
        if code in RETRIED:
            wish = response.headers.get("Retry-After", "")
            delay = min(float(wish), LONGEST_DELAY) if wish.isdecimal() else 0.0
            raise _Interrupted(f"the server answered {code} {response.reason}", delay)
        if code not in (200, 206, 416):
            hint = HINTS.get(code, "this is no file")
            raise DownloadError(f"{shown(url)}: {hint} ({code} {response.reason}).")
        yield response


def _range(response):
    """First byte and size of the whole file, as Content-Range has them; None where it has not."""
    text = response.headers.get("Content-Range", "")
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", text.strip())
    if not found:
        return None, None
    return int(found[1]), None if found[2] == "*" else int(found[2])


def _total(response, url, size):
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
        raise DownloadError(f"{shown(url)} has {total} bytes; {MAX_BYTES} are allowed.")
    return size if total is None else total


def _store(response, url, part, start, total, limit):
    """Writes the body up to the limit; returns how many bytes arrived, dropped ones included."""
    arrived = start
    with open(part, "ab" if start else "wb") as file, _bar(part.stem, start, total) as bar:
        for chunk in _chunks(response, url):
            arrived += len(chunk)
            if arrived > limit:
                break
            file.write(chunk)
            bar.update(len(chunk))
    return arrived


def _chunks(response, url):
    with _network_errors(url):
        yield from response.iter_content(CHUNK)


@contextlib.contextmanager
def _network_errors(url):
    outer = sys.exception()  # of a caller that is handling one of its own
    try:
        yield
    except requests.RequestException as error:
        cause = error  # down to the operating system's words, without the wrapping
        while cause.__context__ not in (None, outer):
            cause = cause.__context__
        if isinstance(error, PASSING) and not isinstance(cause, ssl.SSLCertVerificationError):
            raise _Interrupted(f"{type(error).__name__}, {cause}") from error
        raise DownloadError(f"{shown(url)}: {type(error).__name__}, {cause}.") from error


def _bar(name, start, total):
    return tqdm.tqdm(
        desc=name,
        initial=start,
        total=total,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        mininterval=0.5 if sys.stderr.isatty() else 30.0,
    )


def _size(path):
    return path.stat().st_size if path.exists() else 0
