"""Zips of strangers: nothing is written outside, nothing unpacks without end."""

import struct
import zipfile

import pytest
from fakes.pictures import write, zipped

from keras_deeplab.data.datasets import source_files
from keras_deeplab.data.datasets.source_files import SourceFiles, files_below


def test_members_are_read_and_never_unpacked_by_their_names(tmp_path):
    write(tmp_path / "in", {"a.zip": zipped({"../../evil.png": b"content", "/etc/x.png": b"y"})})
    found = SourceFiles(files_below(tmp_path / "in"), work_dir=tmp_path / "work")
    contents = []
    for original in found.files:
        with original.on_disk(tmp_path / "work") as path:
            assert path.is_relative_to(tmp_path / "work")
            contents.append(path.read_bytes())
    assert contents == [b"content", b"y"]
    assert {path.name for path in tmp_path.rglob("*")} == {"in", "a.zip", "work"}


def test_zips_in_zips_are_unpacked_only_where_wanted_and_removed(tmp_path):
    inner = zipped({"x/1.png": b"one"})
    write(tmp_path / "in", {"Outer.zip": zipped({"d/Wanted.zip": inner, "d/other.zip": inner})})
    found = SourceFiles(
        files_below(tmp_path / "in"), work_dir=tmp_path / "work", nested=["wanted.zip"]
    )
    assert [original.name for original in found.files] == [
        "Outer.zip/d/Wanted.zip/x/1.png",
        "Outer.zip/d/other.zip",
    ]
    assert found.files[0].parts == ("outer", "d", "wanted", "x", "1.png")
    with found.files[0].opened() as file:
        assert file.read() == b"one"
    del found
    assert not any((tmp_path / "work").iterdir())


def test_damage_is_named(tmp_path):
    content = bytearray(zipped({"1.png": b"much content" * 50}))
    content[100] ^= 1  # inside the stored member
    write(tmp_path, {"a.zip": bytes(content)})
    (original,) = SourceFiles(files_below(tmp_path), work_dir=tmp_path).files
    with (
        pytest.raises(ValueError, match=r"a\.zip/1\.png is damaged.*CRC"),
        original.on_disk(tmp_path),
    ):
        pass


def test_encrypted_zips_are_explained(tmp_path):
    content = bytearray(zipped({"1.png": b"x"}))
    flags = content.index(b"PK\1\2") + 8
    struct.pack_into("<H", content, flags, 1)
    write(tmp_path, {"a.zip": bytes(content)})
    with pytest.raises(ValueError, match=r"a\.zip is encrypted: unpack it"):
        SourceFiles(files_below(tmp_path), work_dir=tmp_path)


def test_a_member_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(source_files, "MAX_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.png", bytes(100_000))
    (original,) = SourceFiles(files_below(tmp_path), work_dir=tmp_path).files
    with pytest.raises(ValueError, match="100000 bytes"), original.on_disk(tmp_path):
        pass
