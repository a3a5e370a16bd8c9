"""Archives of checkpoints: as published, damaged, and malicious. Nothing is left over of any."""

import gzip
import random
import tarfile
import tempfile

import pytest
from reference import OFFICIAL

import keras_deeplab as kd
from keras_deeplab.checkpoints.tensorflow import archives
from keras_deeplab.checkpoints.tensorflow.archives import unpacked_checkpoint

FILES = OFFICIAL / "checkpoints"
PUBLISHED = FILES / "deeplabv3_mnv2_small_voc.tar.gz"
INDEX = "model.ckpt-30000.index"
DATA = "model.ckpt-30000.data-00000-of-00001"


@pytest.fixture(autouse=True)
def clean(tmp_path, monkeypatch):
    """Temporary files go to a folder of the test, which has to be empty at its end."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(folder.iterdir())
    assert {path.name for path in tmp_path.iterdir()} <= {"temporary", "a.tar.gz"}


def write(path, *members):
    """A `.tar.gz` of `(name or TarInfo, content)`; a TarInfo may claim another size."""
    with gzip.open(path, "wb", 1) as file:
        for member, content in members:
            if isinstance(member, str):
                member = info(member, size=len(content))
            file.write(member.tobuf(tarfile.GNU_FORMAT) + content)
            file.write(bytes(-len(content) % tarfile.BLOCKSIZE))
        file.write(bytes(2 * tarfile.BLOCKSIZE))
    return path


def info(name, **fields):
    result = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(result, key, value)
    return result


def checkpoint(folder="model/"):
    return [(f"{folder}{name}", (FILES / name).read_bytes()) for name in (INDEX, DATA)]


def refused(path, pattern):
    with pytest.raises(kd.CheckpointError, match=pattern) as caught, unpacked_checkpoint(path):
        pytest.fail("unpacked")
    assert "a.tar.gz" in str(caught.value)


def test_only_the_checkpoint_is_unpacked(tmp_path):
    folder, graph = info("model", type=tarfile.DIRTYPE), ("model/frozen_inference_graph.pb", b"g")
    path = write(tmp_path / "a.tar.gz", (folder, b""), graph, *checkpoint())
    with unpacked_checkpoint(path) as prefix:
        files = {file.name: file.read_bytes() for file in prefix.parent.iterdir()}
    assert files == {
        "model.ckpt.index": (FILES / INDEX).read_bytes(),
        "model.ckpt.data-00000-of-00001": (FILES / DATA).read_bytes(),
    }


@pytest.mark.parametrize(
    "name", ["../m.ckpt.index", "a/../../m.ckpt.index", "/m.ckpt.index", "..\\m", "C:\\m", "c:m"]
)
def test_paths_out_of_the_archive(tmp_path, name):
    path = write(tmp_path / "a.tar.gz", *checkpoint(), (name, b"x"))
    refused(path, "leads out of the archive")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices(tmp_path, kind):
    target = "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
    member = info("model/m.ckpt.index", type=kind, linkname=target)
    refused(write(tmp_path / "a.tar.gz", (member, b""), *checkpoint()), "neither a plain file nor")


def test_sizes(tmp_path, monkeypatch):
    """Members are refused by the size that they claim, before they are read."""
    path = tmp_path / "a.tar.gz"
    write(path, (info("m.ckpt.index", size=3 * 2**30), b""))
    refused(path, "larger than the limit of 2147483648 bytes")
    write(path, (info("pax", type=tarfile.XHDTYPE, size=2**21), bytes(2**21)), *checkpoint())
    refused(path, "a header of 2097152 bytes is too large")
    write(path, (info("name", type=tarfile.GNUTYPE_LONGNAME, size=2**40), b""), *checkpoint())
    refused(path, "too large")
    monkeypatch.setattr(archives, "MAX_BYTES", 100_000)
    refused(write(path, *checkpoint()), "larger than the limit of 100000 bytes")
    content = gzip.decompress(write(path, *checkpoint()[:1]).read_bytes())
    path.write_bytes(gzip.compress(content + bytes(100_000)))  # after the end of the archive
    refused(path, "larger than the limit of 100000 bytes")


def test_too_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBERS", 5)
    members = [(f"model/{index}", b"") for index in range(6)]
    refused(write(tmp_path / "a.tar.gz", *members), "more than 5 files")


def test_several_checkpoints_or_none(tmp_path):
    path = tmp_path / "a.tar.gz"
    write(path, *checkpoint("one/"), *checkpoint("two/"))
    refused(path, r"several checkpoints, one/model\.ckpt-30000 and two/model\.ckpt-30000")
    refused(write(path, *checkpoint(), *checkpoint()), "occurs twice")
    refused(write(path, ("frozen_inference_graph.pb", b"graph")), "it has no checkpoint")


def test_truncated_and_damaged(tmp_path):
    """Cut at any length, or with any bit changed: gzip's sum covers all of it."""
    content, rng = PUBLISHED.read_bytes(), random.Random(0)
    path = tmp_path / "a.tar.gz"
    for cut in [0, 1, 9, 10, 30, len(content) - 1, *rng.choices(range(len(content)), k=4)]:
        path.write_bytes(content[:cut])
        refused(path, "damaged|no checkpoint")
    for place in [0, len(content) - 6, *rng.choices(range(30, len(content)), k=4)]:
        changed = bytearray(content)
        changed[place] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        refused(path, ".")
    path.write_bytes(b"<html>404</html>")
    refused(path, "damaged")


def test_any_header(tmp_path):
    """Random bytes in a header: either the same file is unpacked or it is a CheckpointError."""
    rng = random.Random(0)
    content = gzip.decompress(write(tmp_path / "a.tar.gz", *checkpoint()[:1]).read_bytes())
    for _ in range(150):
        changed = bytearray(content)
        for _ in range(rng.choice((1, 3, 30))):
            changed[rng.randrange(512)] = rng.randrange(256)
        if rng.random() < 0.7:  # with the right sum of the header
            changed[148:156] = b"%06o\0 " % (sum(changed[:148]) + sum(changed[156:512]) + 256)
        (tmp_path / "a.tar.gz").write_bytes(gzip.compress(changed, 1))
        try:
            with unpacked_checkpoint(tmp_path / "a.tar.gz") as prefix:
                assert [file.name for file in prefix.parent.iterdir()] == ["model.ckpt.index"]
        except kd.CheckpointError:
            pass
