"""Masks whose values are not class indices: what `mask_values` says, and when it must."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rasters import write_raster

import keras_deeplab as kd
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.files.mask_values import (
    decode_values,
    mask_values,
    named_classes,
    parse_mask_values,
    suggested_values,
    value_labels,
)
from keras_deeplab.data.source import DataSource

NAMES = ["background", "building"]
BINARY = {0: "background", 255: "building"}


def write(folder, mask, **options):
    """An image and its mask, as TIFF with coordinates or, without options, as PNG."""
    mask = np.asarray(mask)
    for name in ("images", "masks"):
        (folder / name).mkdir(exist_ok=True)
    Image.new("RGB", mask.shape[1::-1]).save(folder / "images/a.png")
    if options:
        write_raster(folder / "masks/a.tif", mask, **options)
    else:
        Image.fromarray(mask).save(folder / "masks/a.png")
    return folder / "images", folder / "masks"


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_each_value_becomes_its_class(data):
    """Against a loop, for values of any integer type."""
    names = tuple("abcd"[: data.draw(st.integers(1, 4))])
    dtype = data.draw(st.sampled_from(["uint8", "uint16", "int16", "int32"]))
    info = np.iinfo(dtype)
    stored = data.draw(
        st.lists(st.integers(info.min, info.max), min_size=1, max_size=6, unique=True)
    )
    meaning = {value: data.draw(st.sampled_from([*names, "ignore"])) for value in stored}
    mask = np.array(data.draw(st.lists(st.sampled_from(stored), min_size=6, max_size=6)), dtype)
    labels = value_labels(mask_values(meaning), ClassTable(names))
    found = decode_values(mask.reshape(2, 3), labels, where="mask", origin=(0, 0))
    wanted = [255 if meaning[v] == "ignore" else names.index(meaning[v]) for v in mask.tolist()]
    assert found.dtype == np.uint8 and found.ravel().tolist() == wanted


def test_black_and_white_masks(tmp_path):
    mask = np.zeros((40, 50), np.uint8)
    mask[5:20, 8:30] = 255
    for stored in (mask, np.stack([mask] * 3, -1)):
        dataset = kd.data.from_folder(*write(tmp_path, stored), NAMES, mask_values=BINARY)
        np.testing.assert_array_equal(next(iter(dataset))[1], mask // 255)
    source = DataSource(
        images=(tmp_path / "images",), masks=(tmp_path / "masks",), mask_values=BINARY
    )
    assert source.default_classes() == ClassTable(tuple(NAMES))
    _, counts = source.open_counted(source.default_classes())
    assert counts.pixels.tolist() == [40 * 50 - 15 * 22, 15 * 22]


def test_masks_that_count_from_one(tmp_path):
    """In a CSV file, with a palette that does not matter, as 16 bits, and with nodata."""
    mask = np.random.default_rng(0).integers(0, 4, (40, 50)).astype(np.uint8)
    meaning = {0: "ignore", 1: "road", 2: "water", 3: "road"}
    wanted = np.array([255, 0, 1, 0])[mask]
    paletted = Image.fromarray(mask).convert("P")
    paletted.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0, 0, 0, 200])
    write(tmp_path, mask)
    paletted.save(tmp_path / "masks/a.png")
    (tmp_path / "pairs.csv").write_text("image,mask\nimages/a.png,masks/a.png\n")
    dataset = kd.data.from_csv(tmp_path / "pairs.csv", ["road", "water"], mask_values=meaning)
    np.testing.assert_array_equal(next(iter(dataset))[1], wanted)
    (tmp_path / "masks/a.png").unlink()
    folders = write(tmp_path, mask.astype(np.int16), nodata=-1)
    dataset = kd.data.from_folder(*folders, ["road", "water"], mask_values=meaning)
    np.testing.assert_array_equal(next(iter(dataset))[1], wanted)
    write(tmp_path, np.where(mask == 2, -1, mask.astype(np.int16)).astype(np.int16), nodata=-1)
    dataset = kd.data.from_folder(*folders, ["road", "water"], mask_values=meaning)
    np.testing.assert_array_equal(next(iter(dataset))[1], np.where(mask == 2, 255, wanted))
    write(tmp_path, mask, nodata=1)
    with pytest.raises(ValueError, match=r"nodata value 1 is ignored, but .*-unsetnodata"):
        kd.data.from_folder(*folders, ["road", "water"], mask_values=meaning)


def test_values_that_are_not_class_indices_name_the_option(tmp_path):
    """With the values of the whole file filled in; in a table of colours it would be no help."""
    mask = np.full((8, 2100), 1, np.uint8)
    mask[2, 3:5], mask[4, 2090] = (2, 3), 3
    folders = write(tmp_path, mask)
    with pytest.raises(ValueError, match="--mask-values 1=a,2=b,3=c ") as caught:
        kd.data.from_folder(*folders, list("abc"))
    assert "a.png: label values [3] are outside the class table (0..2" in str(caught.value)
    with pytest.raises(ValueError, match="1=CLASS,2=CLASS,3=CLASS "):
        kd.data.from_folder(*folders, list("ab"))
    with pytest.raises(ValueError, match=r"does not say what \[2, 3\] mean; the first at row 2, "):
        kd.data.from_folder(*folders, list("ab"), mask_values={1: "a"})
    colors = ClassTable(("a", "b"), ((9, 9, 9), (1, 2, 3)))
    with pytest.raises(ValueError) as caught:
        kd.data.from_folder(*folders, colors)
    assert "--mask-values" not in str(caught.value)


def test_white_is_not_silently_ignored(tmp_path):
    """Masks of nothing but 0 and 255 may be ignored or a class: it must be said."""
    mask = np.zeros((30, 40), np.uint8)
    mask[3:9, 4:7] = 255
    folders = write(tmp_path, mask)
    with pytest.raises(ValueError, match="--mask-values 0=background,255=building"):
        kd.data.from_folder(*folders, NAMES)
    dataset = kd.data.from_folder(*folders, NAMES, mask_values={0: NAMES[0], 255: "ignore"})
    np.testing.assert_array_equal(next(iter(dataset))[1], mask)
    kd.data.from_folder(*folders, ["all"])
    mask[20, 20] = 1
    kd.data.from_folder(*write(tmp_path, mask), NAMES)
    (tmp_path / "masks/a.png").unlink()
    mask[20, 20] = 0
    kd.data.from_folder(*write(tmp_path, mask, nodata=255), NAMES)  # the file itself says it


def test_colours_are_not_values(tmp_path):
    mask = np.zeros((8, 9, 3), np.uint8)
    mask[2, 5] = 255, 0, 0
    with pytest.raises(ValueError, match=r"row 2, column 5 is \(255, 0, 0\). Give the class table"):
        kd.data.from_folder(*write(tmp_path, mask), NAMES, mask_values=BINARY)


def test_texts_and_their_mistakes():
    assert parse_mask_values("0=back ground, 255=a=b") == ((0, "back ground"), (255, "a=b"))
    assert named_classes(parse_mask_values("9=ignore,2=b,1=a,3=b")) == ("b", "a")
    assert parse_mask_values("") == mask_values(None) == ()
    for text, message in (
        ("0", "'0' names no class"),
        ("x=a", "'x=a' is not VALUE=CLASS"),
        ("0=a,,1=b", "'' is not VALUE=CLASS"),
        ("0=a,0=b", "--mask-values: 0 is given more than once"),
    ):
        with pytest.raises(ValueError, match=message):
            parse_mask_values(text)
    with pytest.raises(ValueError, match="'0' is not an integer"):
        mask_values({"0": "a"})
    with pytest.raises(ValueError, match="names roof, but the classes are a, b; 'ignore' stands"):
        value_labels(((0, "a"), (1, "roof")), ClassTable(("a", "b")))
    own = ClassTable(("a", "ignore"))
    assert value_labels(((7, "ignore"),), own) == {7: 1}  # a class of that name comes first


def test_suggestions():
    table = ClassTable(("a", "b"))
    assert suggested_values({255, 0}, table) == "0=a,255=b"
    assert suggested_values({0, 1, 2}, table) == "0=ignore,1=a,2=b"
    assert suggested_values({1, 2, 255}, table) == "1=CLASS,2=CLASS,255=CLASS"
    assert suggested_values(range(20), table).endswith("7=CLASS,...")
