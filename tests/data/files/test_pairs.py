"""Which mask belongs to which image: nested folders, split files, CSV files."""

import shutil

import numpy as np
import pytest
from rasters import write_raster

import keras_deeplab as kd


@pytest.fixture
def nested(tmp_path):
    """Tiles of equal names in two sub-folders; the value of an image is that of its mask."""
    for value, stem in enumerate(("north/tile_1", "north/tile_2.v3", "south/tile_1")):
        write_raster(tmp_path / f"images/{stem}.tif", np.full((40, 40, 3), value, np.uint8))
        write_raster(tmp_path / f"masks/{stem}.tif", np.full((40, 40), value, np.uint8))
    return tmp_path


def load(folder, **options):
    return kd.data.from_folder(folder / "images", folder / "masks", list("abc"), **options)


def values(dataset):
    pairs = list(dataset.as_numpy_iterator())
    assert len(pairs) == dataset.cardinality()
    for image, label in pairs:
        assert np.ptp(label) == 0 and (image == label[..., None]).all()
    return [int(label[0, 0]) for _, label in pairs]


def test_nested_folders_pair_by_relative_path(nested):
    (nested / "images/.cache").mkdir()
    (nested / "images/.cache/tile_9.tif").write_text("of some program")
    assert values(load(nested)) == [0, 1, 2]
    (nested / "masks/south/tile_1.tif").rename(nested / "masks/south/tile_3.tif")
    with pytest.raises(ValueError) as caught:
        load(nested)
    assert "south/tile_1.tif has no mask" in str(caught.value)
    assert "south/tile_3.tif has no image" in str(caught.value)


def test_masks_with_a_suffix_beside_their_images(nested):
    for mask in (nested / "masks").rglob("*.tif"):
        folder = nested / "images" / mask.parent.name
        mask.rename(folder / f"{mask.stem}_mask.tif")
    images = nested / "images"
    dataset = kd.data.from_folder(images, images, list("abc"), mask_suffix="_mask")
    assert values(dataset) == [0, 1, 2]
    write_raster(nested / "masks/tile_1.tif", np.zeros((40, 40), np.uint8))
    with pytest.raises(ValueError, match=r"do not end in mask_suffix '_mask':\n.*tile_1.tif"):
        load(nested, mask_suffix="_mask")


def test_a_split_chooses_pairs(nested):
    split = nested / "train.txt"
    split.write_text("\ufeff# by hand\n\nsouth/tile_1.tif  # the quarry\nnorth/tile_2.v3\n")
    (nested / "masks/north/tile_1.tif").unlink()  # not in the split: nothing is asked of it
    assert values(load(nested, split=split)) == [1, 2]


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (
            "north/tile_1\ntile_1\nnorth/tile_1.tif\nsouth/tile_9",
            [
                "line 2: tile_1 is not an image of",
                "line 3: north/tile_1.tif is on line 1 already",
                "line 4: south/tile_9 is not an image",
            ],
        ),
        ("south/tile_1", ["south/tile_1.tif has no mask"]),
        ("# nothing\n", ["does not list any image"]),
    ],
)
def test_wrong_splits_are_listed(nested, text, messages):
    (nested / "masks/south/tile_1.tif").unlink()
    (nested / "split.txt").write_text(text)
    with pytest.raises(ValueError) as caught:
        load(nested, split=nested / "split.txt")
    for message in messages:
        assert message in str(caught.value)
    with pytest.raises(ValueError, match=r"none.txt cannot be read"):
        load(nested, split=nested / "none.txt")


def test_a_stem_of_two_folders_is_ambiguous_in_a_split(nested):
    shutil.copytree(nested / "images", nested / "images2")
    shutil.copytree(nested / "masks", nested / "masks2")
    (nested / "split.txt").write_text("south/tile_1")
    images, masks = ([nested / name, nested / f"{name}2"] for name in ("images", "masks"))
    assert values(kd.data.from_folder(images, masks, list("abc"))) == [0, 1, 2] * 2
    with pytest.raises(ValueError, match=r"south/tile_1 is in several of .*images, .*images2"):
        kd.data.from_folder(images, masks, list("abc"), split=nested / "split.txt")


def test_csv_pairs_in_the_order_of_its_lines(nested):
    table = nested / "pairs.csv"
    lines = [f"images/{s},x,masks/{s}" for s in ("south/tile_1.tif", "north/tile_1.tif")]
    table.write_text("\n".join(["\ufeffimage,note,mask", *lines, ""]))
    assert values(kd.data.from_csv(table, list("abc"))) == [2, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image;mask\na;b\n", "expected the header image,mask; found 'image;mask'"),
        ("image,mask\n", "does not list any pair"),
        ("", "expected the header image,mask; found ''"),
        (
            "image,mask\nimages/a.tif,masks/b.tif\nimages/north/tile_1.tif\n",
            "line 2: image images/a.tif does not exist\n  line 2: mask masks/b.tif does not exist\n"
            "  line 3: mask (empty) does not exist",
        ),
        (
            2 * "image,mask\nimages/north/tile_1.tif,masks/north/tile_1.tif\n",
            "line 4: images/north/tile_1.tif is on line 2 already",
        ),
    ],
)
def test_wrong_csv_files_are_described(nested, text, message):
    (nested / "pairs.csv").write_text(text)
    with pytest.raises(ValueError) as caught:
        kd.data.from_csv(nested / "pairs.csv", list("abc"))
    assert message in str(caught.value)
