import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_deeplab as kd
from keras_deeplab._internal import resources
from keras_deeplab.training.loop.provenance import data_record, environment, git_revision


def git(folder, *arguments):
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", "-C", folder, *who, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with one commit that holds the package, its commands and its zoo."""
    for variable in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(variable)
    folder = tmp_path / "checkout"
    for name in ("keras_deeplab/__init__.py", "scripts/train.py", "zoo/manifest.json"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("1\n")
    git(tmp_path, "init", "-q", folder)
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "All")
    monkeypatch.setattr(resources, "PACKAGE", folder / "keras_deeplab")
    return folder


def test_revision_of_a_checkout(checkout):
    revision = git(checkout, "rev-parse", "HEAD")
    (checkout / "history.csv").write_text("the result of a run\n")
    assert git_revision() == {"revision": revision, "changed": False}
    for name in ("keras_deeplab/__init__.py", "scripts/train.py", "zoo/manifest.json"):
        (checkout / name).write_text("2\n")
        assert git_revision() == {"revision": revision, "changed": True}
        git(checkout, "checkout", "-q", "--", name)
        assert git_revision()["changed"] is False
    (checkout / "keras_deeplab/new.py").write_text("")
    assert git_revision() == {"revision": revision, "changed": True}


def test_a_foreign_repository_is_none_of_ours(checkout, monkeypatch):
    installed = checkout / "venv/site-packages/keras_deeplab"
    shutil.copytree(checkout / "keras_deeplab", installed)
    monkeypatch.setattr(resources, "PACKAGE", installed)
    assert git_revision() is None


def test_a_hook_of_another_repository_does_not_mislead(checkout, tmp_path, monkeypatch):
    other = tmp_path / "other"
    shutil.copytree(checkout / "keras_deeplab", other)
    git(tmp_path, "init", "-q", other)
    git(other, "add", ".")
    git(other, "commit", "-q", "-m", "Other")
    expected = git_revision()
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert git_revision() == expected


def test_no_repository_no_commit_no_git(checkout, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "")
        assert git_revision() is None
    shutil.rmtree(checkout / ".git")
    assert git_revision() is None
    git(checkout, "init", "-q")
    git(checkout, "add", ".")
    assert git_revision() is None


@pytest.fixture
def data(tmp_path):
    """Images and masks, not in the order of their names."""
    names = ("images/a.png", "images/a/b.png", "images-2/c.png", "masks/ä b.png")
    for index, name in enumerate(names):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([index]) * (1000 + index))
    return [tmp_path / "data" / name for name in names]


def test_the_hash_is_that_of_sha256sum(data):
    folder = data[0].parents[1]
    names = sorted(os.fsencode(path.relative_to(folder)) for path in data)
    if shutil.which("sha256sum"):
        listing = subprocess.run(
            ["sha256sum", *names], cwd=folder, check=True, capture_output=True
        ).stdout
    else:
        lines = [hashlib.sha256((folder / os.fsdecode(name)).read_bytes()) for name in names]
        listing = b"".join(
            line.hexdigest().encode() + b"  " + name + b"\n"
            for line, name in zip(lines, names, strict=True)
        )
    assert data_record(data) == {
        "files": 4,
        "bytes": 4006,
        "sha256": hashlib.sha256(listing).hexdigest(),
    }


def test_the_hash_is_of_the_data_and_not_of_its_place(data, tmp_path, monkeypatch):
    record = data_record(data)
    assert data_record([*map(str, reversed(data)), data[0]]) == record
    moved = tmp_path / "elsewhere/deeper"
    shutil.copytree(tmp_path / "data", moved)
    assert data_record(path for path in moved.rglob("*.png")) == record
    monkeypatch.chdir(tmp_path)
    assert data_record(path.relative_to(tmp_path) for path in data) == record
    content = bytearray(data[1].read_bytes())
    content[500] ^= 1
    data[1].write_bytes(content)
    changed = data_record(data)
    assert changed["sha256"] != record["sha256"] and changed["bytes"] == record["bytes"]


def test_a_renamed_or_missing_file_changes_the_hash(data):
    record = data_record(data)
    assert data_record(data[:-1])["sha256"] != record["sha256"]
    renamed = data[0].rename(data[0].with_name("z.png"))
    assert data_record([renamed, *data[1:]])["sha256"] != record["sha256"]
    with pytest.raises(OSError, match=r"a\.png"):
        data_record(data)


def test_environment_is_that_of_this_process(monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    monkeypatch.setenv("TF_TOKEN_example", "secret")
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    found = environment()
    assert json.loads(json.dumps(found)) == found
    assert found["packages"] == {
        "keras_deeplab": kd.__version__,
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
    }
    assert found["python"] == sys.version.split()[0]
    assert found["backend"] == "tensorflow" and "CPU" in found["devices"]
    assert found["cpu"] and found["cpu_count"] >= 1
    assert found["threads"] == {"inter_op": 0, "intra_op": 0}
    assert found["variables"]["TF_ENABLE_ONEDNN_OPTS"] == "0"
    assert "XLA_FLAGS" not in found["variables"] and "secret" not in json.dumps(found)
    if sys.platform == "linux":
        text = pathlib.Path("/proc/meminfo").read_text()
        kilobytes = int(text.partition("MemTotal:")[2].split()[0])
        assert found["memory"] == pytest.approx(kilobytes * 1024, rel=0.01)
        assert found["cpu"] in pathlib.Path("/proc/cpuinfo").read_text() + os.uname().machine
