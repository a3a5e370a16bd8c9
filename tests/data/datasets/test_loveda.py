"""LoveDA on a fake: label map, tasks, and the download over HTTP with its checksum."""

import contextlib
import dataclasses
import functools
import hashlib
import http.server
import threading

import builder_tester
import numpy as np
import pytest
from builder_tester import examples
from fakes.loveda import write_loveda
from fakes.pictures import png, write

from keras_deeplab import DownloadError
from keras_deeplab.data import load
from keras_deeplab.data.datasets import BUILDERS, loveda


class TestLovedaBuilder(builder_tester.BuilderTester):
    DATASET_CLASS = BUILDERS["loveda"]
    SPLITS = {"train": 5, "val": 3}
    BUILDER_CONFIG_NAMES_TO_TEST = ["all"]
    write = staticmethod(write_loveda)


@pytest.mark.parametrize(
    "config, train, val",
    [
        ("all", ("urban", "rural"), ("urban", "rural")),
        ("urban", ("urban",), ("urban",)),
        ("rural", ("rural",), ("rural",)),
        ("to_urban", ("rural",), ("urban",)),
        ("to_rural", ("urban",), ("rural",)),
    ],
)
def test_scenes_and_labels_of_each_task(tmp_path, config, train, val):
    scenes = write_loveda(tmp_path / "manual")
    for split, kinds in (("train", train), ("val", val)):
        found = examples(f"loveda/{config}", split, tmp_path / "made", tmp_path / "manual")
        wanted = {n for n in scenes if any(n.startswith(f"{split}/{kind}/") for kind in kinds)}
        assert found.keys() == {(name, 0, 0) for name in wanted}
        for name in wanted:
            np.testing.assert_array_equal(found[name, 0, 0][0], scenes[name][0])
            np.testing.assert_array_equal(found[name, 0, 0][1], scenes[name][1])


def test_a_raw_label_above_seven_is_named_with_file_and_place(tmp_path):
    write_loveda(tmp_path / "manual")
    raw = np.zeros((96, 96), np.uint8)
    raw[50, 60] = 9
    write(
        tmp_path / "manual",
        {
            "Val/Rural/images_png/9999.png": png(np.zeros((96, 96, 3), np.uint8)),
            "Val/Rural/masks_png/9999.png": png(raw),
        },
    )
    with pytest.raises(ValueError, match=r"masks_png/9999\.png.*found 9 at row 50, column 60"):
        load("loveda", data_dir=tmp_path, manual_dir=tmp_path / "manual")


@contextlib.contextmanager
def served(folder, requests):
    """A real server of a folder on 127.0.0.1; notes the paths asked for."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            requests.append(self.path)

    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def publish(monkeypatch, folder):
    """Makes the checksums of the fakes the published ones."""
    archives = [
        dataclasses.replace(
            archive, md5=hashlib.md5((folder / archive.name).read_bytes()).hexdigest()
        )
        for archive in loveda.ARCHIVES
    ]
    monkeypatch.setattr(loveda, "ARCHIVES", tuple(archives))


def test_downloads_itself_and_checks_the_published_md5(tmp_path, monkeypatch):
    scenes = write_loveda(tmp_path / "www")
    requests = []
    with served(tmp_path / "www", requests) as url:
        monkeypatch.setenv("KERAS_DEEPLAB_MIRROR", url)
        with pytest.raises(DownloadError, match=r"Train\.zip.*MD5.*expected de2b1960"):
            load("loveda", data_dir=tmp_path / "data")
        assert not list((tmp_path / "data").rglob("*Train*"))
        publish(monkeypatch, tmp_path / "www")
        # What failed its check was removed: it is fetched again, the other archive is not.
        dataset = load("loveda", "val", data_dir=tmp_path / "data")
    assert sorted(requests) == ["/Train.zip", "/Train.zip", "/Val.zip"]
    assert len(list(dataset)) == sum(name.startswith("val") for name in scenes)
    load("loveda", "train", data_dir=tmp_path / "data")  # without a server


def test_a_mirror_may_be_a_folder(tmp_path, monkeypatch):
    write_loveda(tmp_path / "disk")
    publish(monkeypatch, tmp_path / "disk")
    monkeypatch.setenv("KERAS_DEEPLAB_MIRROR", str(tmp_path / "disk"))
    assert len(list(load("loveda/urban", "train", data_dir=tmp_path / "data"))) == 2


def test_the_addresses_are_zenodos():
    assert [archive.url for archive in loveda.ARCHIVES] == [
        "https://zenodo.org/records/5706578/files/Train.zip",
        "https://zenodo.org/records/5706578/files/Val.zip",
    ]
