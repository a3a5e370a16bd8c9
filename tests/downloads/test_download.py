"""Downloads from real servers on this machine."""

import logging
import re
import subprocess
import sys

import pytest
from servers import CONTENT, NAME, SHA256, ProxyHandler, Server, files_in, running

from keras_deeplab.downloads import transfer
from keras_deeplab.downloads.fetch import DownloadError, fetch


def test_plain_download_then_from_the_cache(server, home):
    path = fetch(server.url, SHA256, size=len(CONTENT))
    assert path == home / NAME and path.read_bytes() == CONTENT
    assert files_in(home) == [NAME]
    assert fetch(server.url, SHA256[:8].upper()) == path
    assert len(server.seen) == 1


def test_cut_connections_are_resumed(server, caplog):
    server.cuts = [300_000, 300_000]
    assert fetch(server.url, SHA256).read_bytes() == CONTENT
    ranges = [wanted for _, wanted in server.seen]
    starts = [int(wanted.removeprefix("bytes=").rstrip("-")) for wanted in ranges[1:]]
    assert ranges[0] is None and len(starts) == 2
    assert 0 < 300_000 - starts[0] + 1 <= transfer.CHUNK + 1
    assert "Next attempt in 0.01 s" in caplog.text


def test_cuts_that_get_further_do_not_use_up_the_attempts(server):
    server.cuts = [130_000] * 7
    assert fetch(server.url, SHA256).read_bytes() == CONTENT
    assert len(server.seen) > len(transfer.DELAYS) + 1


@pytest.mark.parametrize("ranges", ["ignored", "refused", "shifted"])
def test_restart_where_the_server_cannot_resume(server, ranges):
    server.cuts, server.ranges = [300_000], ranges
    assert fetch(server.url, SHA256).read_bytes() == CONTENT


def test_rest_of_another_version_is_dropped(server, home):
    home.mkdir()
    (home / f"{NAME}.part").write_bytes(bytes(200_000))
    assert fetch(server.url, SHA256).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.seen] == ["bytes=200000-", None]


def test_wrong_hash_leaves_nothing(server, home):
    server.content = CONTENT[::-1]
    with pytest.raises(DownloadError, match=r"not the published file: its SHA-256 is [0-9a-f]{64}"):
        fetch(server.url, SHA256)
    assert files_in(home) == [] and len(server.seen) == 1


@pytest.mark.parametrize(("status", "hint"), [(404, "file not found"), (403, "access denied")])
def test_refusals_are_not_retried(server, home, status, hint):
    server.statuses = [status]
    with pytest.raises(DownloadError, match=hint) as error:
        fetch(server.url, SHA256)
    assert server.url in str(error.value) and str(home / NAME) in str(error.value)
    assert len(server.seen) == 1


def test_busy_servers_are_asked_again(server):
    server.statuses = [503, 429, 500]
    assert fetch(server.url, SHA256).read_bytes() == CONTENT
    assert len(server.seen) == 4


def test_attempts_end(server):
    server.statuses = [503] * 9
    with pytest.raises(DownloadError, match=r"503 Service Unavailable. 5 attempts failed"):
        fetch(server.url, SHA256)
    assert len(server.seen) == 5


def test_timeout(server, monkeypatch):
    monkeypatch.setattr(transfer, "TIMEOUTS", (0.2, 0.2))
    monkeypatch.setattr(transfer, "DELAYS", (0.01,))
    server.hold_at = 0
    with pytest.raises(DownloadError, match=r"timed out. 2 attempts failed"):
        fetch(server.url, SHA256)


def test_errors_name_their_own_cause_and_no_secrets():
    with Server() as closed:
        port = closed.server_port
    try:
        raise KeyError("of the caller")
    except KeyError:
        with pytest.raises(DownloadError, match="Connection refused") as error:
            fetch(f"http://me:secret@127.0.0.1:{port}/{NAME}?token=secret", SHA256)
    assert "secret" not in str(error.value) and "of the caller" not in str(error.value)


@pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT) - 400_000])
@pytest.mark.parametrize("declared", [True, False])
def test_more_bytes_than_expected(server, home, size, declared):
    server.declared = declared
    with pytest.raises(DownloadError, match=r"not the same file|sends more than"):
        fetch(server.url, SHA256, size=size)
    assert files_in(home) == [] and len(server.seen) == 1


@pytest.mark.parametrize("declared", [True, False])
def test_limit_of_unknown_sizes(server, home, monkeypatch, declared):
    monkeypatch.setattr(transfer, "MAX_BYTES", 500_000)
    server.declared = declared
    with pytest.raises(DownloadError, match=r"500000 are allowed|more than the 500000 bytes"):
        fetch(server.url, SHA256)
    assert files_in(home) == []


def test_endless_body_is_broken_off(server):
    server.declared, server.hold_at = False, 200_000
    with pytest.raises(DownloadError, match="sends more than the 100000 bytes"):
        fetch(server.url, SHA256, size=100_000)
    assert len(server.seen) == 1  # nor did it wait for the rest until a timeout


def test_cut_without_declared_length(server):
    server.declared, server.cuts = False, [300_000]
    assert fetch(server.url, SHA256).read_bytes() == CONTENT


def test_mirror_by_url(server, monkeypatch):
    monkeypatch.setenv("KERAS_DEEPLAB_MIRROR", f"{server.address}/mirror/")
    path = fetch(f"https://nowhere.invalid/v1/{NAME}", SHA256)
    assert path.read_bytes() == CONTENT
    assert server.seen == [(f"/mirror/{NAME}", None)]


def test_mirror_by_folder(tmp_path, home, monkeypatch):
    monkeypatch.setenv("KERAS_DEEPLAB_MIRROR", str(tmp_path))
    monkeypatch.setenv("KERAS_DEEPLAB_OFFLINE", "1")  # a folder is no network
    url = f"https://nowhere.invalid/v1/{NAME}"
    with pytest.raises(DownloadError, match=f"{tmp_path / NAME} cannot be read: No such file"):
        fetch(url, SHA256)
    (tmp_path / NAME).write_bytes(CONTENT[:-1])
    with pytest.raises(DownloadError, match=f"{tmp_path / NAME} is not the published file"):
        fetch(url, SHA256)
    assert files_in(home) == []
    (tmp_path / NAME).write_bytes(CONTENT)
    assert fetch(url, SHA256).read_bytes() == CONTENT
    assert files_in(home) == [NAME]


def test_mirror_of_another_kind_is_refused(monkeypatch):
    monkeypatch.setenv("KERAS_DEEPLAB_MIRROR", "ftp://host/folder")
    with pytest.raises(DownloadError, match="KERAS_DEEPLAB_MIRROR=ftp://host/folder is neither"):
        fetch(f"https://nowhere.invalid/{NAME}", SHA256)


def test_offline(server, home, monkeypatch):
    monkeypatch.setenv("KERAS_DEEPLAB_OFFLINE", "1")
    with pytest.raises(DownloadError, match="is missing, and KERAS_DEEPLAB_OFFLINE") as error:
        fetch(server.url, SHA256)
    assert server.url in str(error.value) and str(home / NAME) in str(error.value)
    home.mkdir()
    (home / NAME).write_bytes(b"damaged")
    with pytest.raises(DownloadError, match="is damaged or not the published file"):
        fetch(server.url, SHA256)
    (home / NAME).write_bytes(CONTENT)
    assert fetch(server.url, SHA256) == home / NAME
    assert server.seen == []
    (home / NAME).unlink()
    monkeypatch.setenv("KERAS_DEEPLAB_OFFLINE", "0")
    assert fetch(server.url, SHA256) == home / NAME


def test_proxy_variable_is_honoured(server, monkeypatch):
    with running(Server(ProxyHandler)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.address)
        assert fetch(server.url, SHA256).read_bytes() == CONTENT
        assert proxy.seen == [server.url] and len(server.seen) == 1


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/file.h5",
        "file:///etc/passwd",
        "host/file.h5",
        "https://host/folder/",
        "https://host/..",
        "https://host/..%2Fout.h5",
        "https://host/..%5Cout.h5",
    ],
)
def test_urls_that_are_refused(url):
    with pytest.raises(
        ValueError, match=r"is not an http or https URL|does not end in a file name"
    ):
        fetch(url, SHA256)


@pytest.mark.parametrize("sha256", ["", "abcdef0", "xyz" * 4, SHA256 + "0"])
def test_hashes_that_are_refused(sha256):
    with pytest.raises(ValueError, match="is not 8 to 64 hex digits"):
        fetch(f"https://host/{NAME}", sha256)


def test_progress_is_shown(server, capfd):
    fetch(server.url, SHA256)
    assert re.search(rf"{NAME}: 100%.*977k/977k .*B/s", capfd.readouterr().err)


def test_no_tensorflow_is_loaded():
    code = "import sys, keras_deeplab.downloads.fetch; sys.exit('keras' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_log_names_source_and_place(server, home, caplog):
    with caplog.at_level(logging.INFO, "keras_deeplab"):
        fetch(server.url, SHA256)
    assert f"Downloading {server.url} to {home / NAME}" in caplog.text
