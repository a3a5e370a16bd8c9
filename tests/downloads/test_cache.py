"""The cache folder: several processes, killed ones, full and read-only disks."""

import math
import signal
import subprocess
import sys
import threading
import time

import pytest
from servers import CONTENT, NAME, SHA256, files_in

from keras_deeplab.downloads import cache
from keras_deeplab.downloads.fetch import DownloadError, fetch


def start_fetch(url):
    """A process that fetches the file and prints its path."""
    code = f"from keras_deeplab.downloads.fetch import fetch; print(fetch({url!r}, {SHA256!r}))"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_where_the_cache_lies(monkeypatch, tmp_path):
    assert cache.cache_dir() == tmp_path / "home"
    monkeypatch.delenv("KERAS_DEEPLAB_HOME")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    assert cache.cache_dir() == tmp_path / "keras/keras_deeplab"
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.cache_dir() == tmp_path / ".keras/keras_deeplab"


def test_damaged_cached_file_is_replaced(server, home, caplog):
    home.mkdir()
    (home / NAME).write_bytes(CONTENT[:-1])
    assert fetch(server.url, SHA256).read_bytes() == CONTENT
    assert "is damaged or not the published file" in caplog.text


def test_complete_part_is_not_transferred_again(server, home):
    home.mkdir()
    (home / f"{NAME}.part").write_bytes(CONTENT)
    assert fetch(server.url, SHA256).read_bytes() == CONTENT
    assert server.seen == [] and files_in(home) == [NAME]


def test_several_processes_download_once(server, home):
    server.pause = 0.1  # longer in all than the processes take to start one after the other
    processes = [start_fetch(server.url) for _ in range(4)]
    for process in processes:
        output, errors = process.communicate(timeout=600)
        assert output.strip() == str(home / NAME), errors
    assert len(server.seen) == 1
    assert (home / NAME).read_bytes() == CONTENT


def test_waiting_is_announced(server, home, monkeypatch, caplog):
    monkeypatch.setattr(cache, "QUIET_WAIT", 0.05)
    with cache.locked(home / NAME):
        thread = threading.Thread(target=fetch, args=(server.url, SHA256))
        thread.start()
        while "waiting for it" not in caplog.text:
            assert thread.is_alive()
            time.sleep(0.02)
        assert server.seen == []
    thread.join(timeout=600)
    assert (home / NAME).read_bytes() == CONTENT


def test_killed_process_leaves_no_wrong_file(server, home):
    server.hold_at = 400_000
    process = start_fetch(server.url)
    part = home / f"{NAME}.part"
    while not part.exists() or part.stat().st_size < 200_000:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert files_in(home) == [part.name]
    arrived, server.hold_at = part.stat().st_size, math.inf
    assert fetch(server.url, SHA256).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.seen] == [None, f"bytes={arrived}-"]


def test_file_in_the_place_of_the_cache_folder(server, home):
    # Permissions do not bind root, which tests may run as; this stops anyone.
    home.write_bytes(b"")
    with pytest.raises(DownloadError, match=r"cannot be written to.*set KERAS_DEEPLAB_HOME"):
        fetch(server.url, SHA256)
    assert server.seen == []


def test_read_only_cache(server, home):
    """In a mount of its own, which stops root as well, as permissions do not."""
    home.mkdir()
    script = f"mount --bind {home} {home} && mount -o remount,ro,bind {home} && exec "
    code = (
        f"from keras_deeplab.downloads.fetch import fetch; print(fetch({server.url!r}, {SHA256!r}))"
    )
    command = ["unshare", "-m", "sh", "-c", f'{script} "$0" -c "$1"', sys.executable, code]
    if subprocess.run([*command[:4], f"{script} true"], capture_output=True).returncode:
        pytest.skip("this user may not mount")
    result = subprocess.run(command, capture_output=True, text=True)
    assert (
        f"DownloadError: The cache folder {home} cannot be written to: Read-only" in result.stderr
    )
    assert "KERAS_DEEPLAB_HOME" in result.stderr and server.seen == []
    (home / NAME).write_bytes(CONTENT)
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.stdout.strip() == str(home / NAME), result.stderr


@pytest.mark.parametrize("mirror", [True, False])
def test_full_disk(server, home, tmp_path, monkeypatch, mirror):
    home.mkdir()
    (home / f"{NAME}.part").symlink_to("/dev/full")  # fails like a full disk at any write
    if mirror:
        (tmp_path / NAME).write_bytes(CONTENT)
        monkeypatch.setenv("KERAS_DEEPLAB_MIRROR", str(tmp_path))
    with pytest.raises(
        DownloadError, match=r"Not enough disk space for .*No space left.*KERAS_DEEPLAB_HOME"
    ):
        fetch(server.url, SHA256)
    assert not (home / NAME).exists() and len(server.seen) == (not mirror)
