"""The data source: the files it names are those that the opened dataset has."""

import dataclasses
import pathlib

import numpy as np
import pytest
from fakes.isprs import write_vaihingen
from rasters import write_raster

from keras_deeplab.data import load
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.files import pairs
from keras_deeplab.data.files.bad_files import BadFiles
from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.data.files.rasters import BLOCK
from keras_deeplab.data.source import DataSource

SCENES = ("one/a", "one/b", "two/c", "labels/a_m", "labels/b_m", "two/c_m")
CLASSES = ClassTable(("low", "high"))


@pytest.fixture
def scenes(tmp_path):
    """Two folders of images, with masks in a folder of their own and next to the images."""
    for index, name in enumerate(SCENES):
        shape = (8, 8) if name.endswith("_m") else (8, 8, 3)
        write_raster(tmp_path / f"{name}.tif", np.full(shape, index % 2, np.uint8))
    (tmp_path / "split.txt").write_text("c\nb\n")
    (tmp_path / "pairs.csv").write_text("image,mask\none/b.tif,labels/b_m.tif\n")
    return tmp_path


def check(source, expected):
    """The files are those expected, and the dataset that opens has the images among them."""
    found = source.files()
    assert sorted(found) == sorted(map(str, expected))
    images = [path for path in found if not path.endswith("_m.tif")]
    for (image, _), path in zip(source.open(CLASSES), images, strict=True):
        np.testing.assert_array_equal(image, ImageFormat().read(path)[0])
    assert [pathlib.Path(name).name for name in source.names(CLASSES)] == [
        pathlib.Path(path).name for path in images
    ]


def test_images_and_masks(scenes):
    source = DataSource(
        images=(scenes / "one", scenes / "two"),
        masks=(scenes / "labels", scenes / "two"),
        mask_suffix="_m",
    )
    check(source, [scenes / f"{name}.tif" for name in SCENES])
    assert list(source.names(CLASSES)) == ["one/a.tif", "one/b.tif", "two/c.tif"]
    assert str(source) == f"{scenes / 'one'}, {scenes / 'two'}"
    chosen = dataclasses.replace(source, split=scenes / "split.txt")
    check(chosen, [scenes / f"{n}.tif" for n in ("one/b", "two/c", "labels/b_m", "two/c_m")])


def test_pairs_of_a_csv_file(scenes):
    source = DataSource(pairs=scenes / "pairs.csv")
    check(source, [scenes / "one/b.tif", scenes / "labels/b_m.tif"])
    assert str(source) == str(scenes / "pairs.csv")


def test_folders_are_listed_once(scenes, monkeypatch):
    listed = []
    files_by_stem = pairs.files_by_stem
    monkeypatch.setattr(
        pairs, "files_by_stem", lambda folder: listed.append(folder) or files_by_stem(folder)
    )
    source = DataSource(images=(scenes / "one",), masks=(scenes / "labels",), mask_suffix="_m")
    source.open(CLASSES)
    assert source.files() and list(source.names(CLASSES))
    assert listed == [scenes / "one", scenes / "labels"]


def test_labels_are_counted_as_they_are_checked(tmp_path, monkeypatch):
    """Over several blocks of a mask, with ignored pixels, without an unreadable mask."""
    random = np.random.default_rng(0)
    masks = [random.choice([0, 2, 255], (30, BLOCK + 50)), random.choice([0, 2, 3], (20, 30))]
    for name, mask in zip("ab", masks, strict=True):
        write_raster(tmp_path / f"images/{name}.tif", np.zeros((*mask.shape, 3), np.uint8))
        write_raster(tmp_path / f"masks/{name}.tif", mask.astype(np.uint8))
    source = DataSource(images=(tmp_path / "images",), masks=(tmp_path / "masks",))
    table = ClassTable(tuple("abcde"))
    decoded = []
    decode = ClassTable.decode
    monkeypatch.setattr(
        ClassTable, "decode", lambda *args, **rest: decoded.append(1) or decode(*args, **rest)
    )
    dataset, counts = source.open_counted(table)
    assert len(decoded) == 3
    values = np.concatenate([mask.ravel() for mask in masks])
    assert counts.images == len(dataset) == 2
    assert counts.pixels.tolist() == [(values == index).sum() for index in range(5)]
    assert counts.ignored == (values == 255).sum()
    np.testing.assert_allclose(counts.shares, counts.pixels / (values != 255).sum())
    for found, expected in zip(dataset, source.open(table), strict=True):
        np.testing.assert_array_equal(found[1], expected[1])

    path = tmp_path / "masks/a.tif"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    bad_files = BadFiles()
    _, counts = source.open_counted(table, bad_files=bad_files)
    assert len(bad_files) == 1
    assert counts.pixels.tolist() == [(masks[1] == index).sum() for index in range(5)]
    assert counts.ignored == 0


def test_a_format_fills_what_is_open(scenes):
    source = DataSource(pairs=scenes / "pairs.csv", form=ImageFormat((1, 1, 1)))
    filled = source.with_format(ImageFormat((3, 2, 1), (0, 100)))
    assert filled.form == ImageFormat((1, 1, 1), (0, 100))
    prepared = DataSource("potsdam")
    assert prepared.with_format(ImageFormat((3, 2, 1))) == prepared


def test_records_of_a_prepared_dataset(tmp_path):
    write_vaihingen(tmp_path / "manual", names=(1, 6), height=120, width=150)
    folders = {"data_dir": tmp_path / "data", "manual_dir": tmp_path / "manual"}
    load("vaihingen/published", "val", **folders)
    for subset in ("train", "val"):
        source = DataSource("vaihingen/published", tmp_path / "data", subset)
        there = (tmp_path / "data").rglob(f"*-{subset}.tfrecord*")
        assert sorted(source.files()) == sorted(map(str, there)) and source.files()
        assert len(list(source.names(source.classes()))) == len(source.open(source.classes())) > 0
        assert str(source) == f"vaihingen/published, split {subset}"
        dataset, counts = source.open_counted(source.classes())
        assert counts is None and len(dataset) == len(list(source.names(source.classes())))
    with pytest.raises(ValueError, match="Only image and mask files can be skipped"):
        source.open(source.classes(), bad_files=BadFiles())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Give images and masks, or a CSV file of pairs"),
        ({"images": ("a",)}, "Give images and masks"),
        ({"images": ("a",), "masks": ("b",), "pairs": "c"}, "or a CSV file of pairs"),
        ({"dataset": "potsdam", "pairs": "c"}, "cannot be combined"),
        ({"dataset": "potsdam", "form": ImageFormat((1, 2, 3))}, "cannot be combined"),
    ],
)
def test_contradictions_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        DataSource(**arguments)


def test_a_dataset_that_is_not_prepared_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"is not prepared in .* Run `keras-deeplab prepare"):
        DataSource("potsdam", tmp_path).files()
