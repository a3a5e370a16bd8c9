"""The files behind the data sets that commands open."""

import numpy as np
import pytest
from fakes.isprs import write_vaihingen
from rasters import write_raster

from keras_deeplab.commands.data_options import dataset_files, open_dataset
from keras_deeplab.data import load
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.files.images import ImageFormat

SCENES = ("one/a", "one/b", "two/c", "labels/a_m", "labels/b_m", "two/c_m")
NOTHING = {
    **dict.fromkeys(("dataset", "data_dir", "split", "pairs", "bands", "value_range")),
    **dict.fromkeys(("val_split", "val_pairs")),
    **dict.fromkeys(("images", "masks", "val_images", "val_masks"), ()),
    "mask_suffix": "_m",
}


@pytest.fixture
def scenes(tmp_path):
    """Two folders of images, with masks in a folder of their own and beside the images."""
    for index, name in enumerate(SCENES):
        shape = (8, 8) if name.endswith("_m") else (8, 8, 3)
        write_raster(tmp_path / f"{name}.tif", np.full(shape, index % 2, np.uint8))
    (tmp_path / "split.txt").write_text("c\nb\n")
    (tmp_path / "pairs.csv").write_text("image,mask\none/b.tif,labels/b_m.tif\n")
    return tmp_path


def check(options, prefix, expected):
    """The files are those expected, and the data set that opens has the images among them."""
    found = dataset_files(options, prefix=prefix, named_split="train")
    assert sorted(found) == sorted(map(str, expected))
    dataset = open_dataset(options, ClassTable(("low", "high")), prefix=prefix, named_split="train")
    read = [ImageFormat().read(path)[0] for path in found if not path.endswith("_m.tif")]
    for (image, _), pixels in zip(dataset, read, strict=True):
        np.testing.assert_array_equal(image, pixels)


@pytest.mark.parametrize("prefix", ["", "val_"])
def test_images_and_masks(scenes, prefix):
    images, masks = (scenes / "one", scenes / "two"), (scenes / "labels", scenes / "two")
    options = {**NOTHING, f"{prefix}images": images, f"{prefix}masks": masks}
    check(options, prefix, [scenes / f"{name}.tif" for name in SCENES])
    options[f"{prefix}split"] = scenes / "split.txt"
    chosen = ("one/b", "two/c", "labels/b_m", "two/c_m")
    check(options, prefix, [scenes / f"{name}.tif" for name in chosen])
    options = {**NOTHING, f"{prefix}pairs": scenes / "pairs.csv"}
    check(options, prefix, [scenes / "one/b.tif", scenes / "labels/b_m.tif"])


def test_no_data_set_has_no_files():
    assert dataset_files(NOTHING, prefix="val_", named_split="val") == []


def test_records_of_a_prepared_data_set(tmp_path):
    write_vaihingen(tmp_path / "manual", names=(1, 6), height=120, width=150)
    folders = {"data_dir": tmp_path / "data", "manual_dir": tmp_path / "manual"}
    load("vaihingen/published", "val", **folders)
    options = {**NOTHING, "dataset": "vaihingen/published", "data_dir": tmp_path / "data"}
    for split in ("train", "val"):
        found = dataset_files(options, named_split=split)
        there = (tmp_path / "data").rglob(f"*-{split}.tfrecord*")
        assert sorted(map(str, found)) == sorted(map(str, there)) and len(found) > 0
