"""Which mask belongs to which image: nested folders, split files, CSV files."""

import logging
import shutil

import numpy as np
import pytest
from PIL import Image
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


def test_links_are_followed(nested, tmp_path):
    """A linked folder counts under each of its names; a link into itself ends."""
    (nested / "elsewhere").mkdir()
    for kind in ("images", "masks"):
        folder = nested / kind
        (folder / "south").rename(nested / "elsewhere" / kind)
        (folder / "south").symlink_to(nested / "elsewhere" / kind)
        (folder / "east").symlink_to(nested / "elsewhere" / kind)
        (folder / "north/back").symlink_to(folder)
        (nested / "elsewhere" / kind / "round").symlink_to("../../" + kind)
        (folder / "north/linked.tif").symlink_to(folder / "north/tile_1.tif")
        (folder / ".hidden").symlink_to(nested / "elsewhere" / kind)
    assert values(load(nested)) == [2, 0, 0, 1, 2]
    for kind in ("images", "masks"):
        (nested / f"{kind}2").symlink_to(nested / kind)
    assert values(kd.data.from_folder(nested / "images2", nested / "masks2", list("abc"))) == [
        *(2, 0, 0, 1, 2)
    ]


def test_bmp_files_are_read(tmp_path):
    rng = np.random.default_rng(0)
    image, mask = (
        rng.integers(0, 256, (40, 50, 3), np.uint8),
        rng.integers(0, 3, (40, 50), np.uint8),
    )
    for name, pixels in (("images", image), ("masks", mask)):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "a.BMP")
    ((found, label),) = load(tmp_path).as_numpy_iterator()
    np.testing.assert_array_equal(found, image)
    np.testing.assert_array_equal(label, mask)


def test_files_of_other_kinds_are_named(nested, caplog):
    images = nested / "images"
    for name in ("README.txt", "tile.tfw", "tile_1.tif.aux.xml", "a.json", "b.csv", ".c.gif"):
        (images / name).write_text("no picture")
    assert values(load(nested)) == [0, 1, 2]
    assert not caplog.records
    for number in range(12):
        (images / f"north/{number:02}.JP2").write_text("any")
    (nested / "masks/d.gif").write_text("any")
    with caplog.at_level(logging.WARNING, "keras_deeplab"):
        assert values(load(nested)) == [0, 1, 2]
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("Files that are not read, as they are none of .jpg, ")
    assert f"\n  {images / 'north/09.JP2'}\n  ... and 2 more" in first
    assert second.endswith(f":\n  {nested / 'masks/d.gif'}")


def test_a_folder_of_other_kinds_alone_is_an_error(nested):
    for path in (nested / "images").rglob("*.tif"):
        path.rename(path.with_suffix(".webp"))
    with pytest.raises(
        ValueError, match=r"images contains no image .*not read:\n  .*tile_1.webp\n"
    ):
        load(nested)


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


def test_a_shared_folder_warns_once(nested, caplog):
    images = nested / "images"
    for mask in (nested / "masks").rglob("*.tif"):
        mask.rename(images / mask.parent.name / f"{mask.stem}_mask.tif")
    (images / "a.gif").write_text("any")
    dataset = kd.data.from_folder(images, images, list("abc"), mask_suffix="_mask")
    assert values(dataset) == [0, 1, 2] and len(caplog.records) == 1


def test_a_split_chooses_pairs(nested):
    split = nested / "train.txt"
    split.write_text("\ufeff# by hand\n\nsouth/tile_1.tif  # the quarry\nnorth/tile_2.v3\n")
    (nested / "masks/north/tile_1.tif").unlink()  # not in the split: nothing is asked of it
    assert values(load(nested, split=split)) == [1, 2]


def test_a_name_with_a_hash_can_be_listed(nested):
    for folder in ("images", "masks"):
        (nested / folder / "north/tile_1.tif").rename(nested / folder / "#1.tif")
        (nested / folder / "north/tile_2.v3.tif").rename(nested / folder / "tile#2.tif")
        (nested / folder / "south/tile_1.tif").rename(nested / folder / "tile #3.tif")
    split = nested / "train.txt"
    for text, expected in (
        ("#1\n", [0]),
        ("tile#2  # north\n#tile#2 is north\n", [1]),
        ("tile #3 # south # of the river\n", [2]),
        ("tile #3.tif\n\t# tile#2\n", [2]),
    ):
        split.write_text(text)
        assert values(load(nested, split=split)) == expected
    split.write_text("tile#4 # new\n")
    with pytest.raises(
        ValueError, match=r"train.txt does not .*\n  line 1: tile#4 is not an image"
    ):
        load(nested, split=split)


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


def test_an_error_has_the_path_as_it_was_given(nested, monkeypatch):
    monkeypatch.chdir(nested)
    (nested / "pairs.csv").write_text("image,mask\na.tif,b.tif\n")
    with pytest.raises(ValueError, match=r"^pairs.csv does not list pairs of files:\n"):
        kd.data.from_csv("pairs.csv", list("abc"))
