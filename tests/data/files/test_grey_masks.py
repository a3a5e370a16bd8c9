"""Masks of one band with a class table that has colours: grey values or class indices."""

import numpy as np
import pytest
from PIL import Image
from rasters import write_raster

import keras_deeplab as kd
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.files.rasters import BLOCK

ABC = tuple("abc")
BINARY = ClassTable(("land", "building"), ((0, 0, 0), (255, 255, 255)))
PERMUTED = ClassTable(ABC, ((2, 2, 2), (0, 0, 0), (1, 1, 1)))
IGNORED = ClassTable(ABC, ((9, 9, 9), (1, 1, 1), (2, 2, 2)), ignore_colors=((0, 0, 0),))
COLOURED = ClassTable(ABC, ((255, 0, 0), (0, 0, 255), (0, 255, 0)))
MIXED = ClassTable(ABC, ((255, 255, 255), (0, 0, 255), (9, 9, 9)), ignore_colors=((0, 0, 0),))
INDICES = [[0, 1, 255], [1, 2, 1]]


def label_of(folder, mask, table, *, suffix=".png", **options):
    """The label map that a mask, an array or a Pillow image, becomes with a class table."""
    picture = mask if isinstance(mask, Image.Image) else Image.fromarray(np.uint8(mask))
    (folder / "masks").mkdir(exist_ok=True)
    picture.save(folder / f"masks/a{suffix}")
    return read(folder, picture.size, table, **options)[0]


def read(folder, size, table, **options):
    (folder / "images").mkdir(exist_ok=True)
    Image.new("RGB", size).save(folder / "images/a.png")
    dataset = kd.data.from_folder(folder / "images", folder / "masks", table, **options)
    return [label for _, label in dataset.as_numpy_iterator()]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
@pytest.mark.parametrize(
    ("table", "greys"),
    [
        (BINARY, [[0, 255], [255, 255]]),
        (PERMUTED, [[0, 1], [2, 2]]),
        (IGNORED, [[0, 1], [9, 2]]),
        (MIXED, [[0, 255], [9, 9]]),
        (MIXED, [[9, 9]]),
    ],
)
def test_greys_have_the_labels_that_they_have_in_rgb(tmp_path, table, greys, suffix):
    grey = label_of(tmp_path, greys, table, suffix=suffix)
    colors = Image.fromarray(np.uint8(greys)).convert("RGB")
    np.testing.assert_array_equal(grey, label_of(tmp_path, colors, table, suffix=suffix))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
@pytest.mark.parametrize("table", [COLOURED, MIXED])
def test_indices_are_read_with_a_coloured_table(tmp_path, table, suffix):
    label = label_of(tmp_path, INDICES, table, suffix=suffix)
    np.testing.assert_array_equal(label, INDICES)


def test_a_table_without_colours_reads_indices(tmp_path):
    np.testing.assert_array_equal(label_of(tmp_path, INDICES, list("abc")), INDICES)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_one_bit_is_black_and_white(tmp_path, suffix):
    expected = np.arange(99).reshape(9, 11) % 3 > 0
    label = label_of(tmp_path, Image.fromarray(expected), BINARY, suffix=suffix)
    np.testing.assert_array_equal(label, expected)
    label = label_of(tmp_path, Image.fromarray(expected), ["land", "building"], suffix=suffix)
    np.testing.assert_array_equal(label, expected)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_are_scaled_as_viewers_do(tmp_path, bits):
    stored = np.arange(64, dtype=np.uint8).reshape(8, 8) % 2**bits
    greys = [round(value * 255 / (2**bits - 1)) for value in range(2**bits)]
    table = ClassTable(tuple(map(str, greys)), tuple((grey,) * 3 for grey in reversed(greys)))
    write_raster(
        tmp_path / "masks/a.png", stored, driver="PNG", nbits=bits, crs=None, transform=None
    )
    with Image.open(tmp_path / "masks/a.png") as picture:
        shown = np.asarray(picture.convert("L"))
    np.testing.assert_array_equal(shown, np.take(greys, stored))
    (label,) = read(tmp_path, (8, 8), table)
    np.testing.assert_array_equal(label, 2**bits - 1 - stored)


def test_values_that_are_neither_are_named(tmp_path):
    message = r"grey values \[1\] are not colours .* greys are \[0, 255\]; .* row 0, column 1\. For"
    with pytest.raises(ValueError, match=message):
        label_of(tmp_path, [[0, 1]], BINARY)
    write_raster(tmp_path / "masks/a.tif", np.array([[0, 65535]], np.uint16))
    (tmp_path / "masks/a.png").unlink()
    with pytest.raises(ValueError, match=r"grey values \[65535\] are not colours"):
        read(tmp_path, (2, 1), BINARY)
    (tmp_path / "masks/a.tif").unlink()
    with pytest.raises(ValueError, match=r"label values \[9, 77\] are outside the class table"):
        label_of(tmp_path, [[9, 77, 1]], MIXED)


@pytest.mark.parametrize("greys", [[[0, 0]], [[255, 255]], [[255, 0]]])
def test_values_that_may_be_both_are_an_error(tmp_path, greys):
    """Black is class 0 or ignored, white is ignored or class 0."""
    with pytest.raises(ValueError, match=r"a.png: its grey values .* can be class indices or col"):
        label_of(tmp_path, greys, MIXED)
    with pytest.raises(Exception, match=r"a.png: its grey values .* can be class indices or col"):
        label_of(tmp_path, greys, MIXED, check_labels=False)
    palette = Image.fromarray(np.uint8(greys)).convert("P")
    palette.putpalette(np.array([(0, 0, 0)] * 255 + [(9, 9, 9)], np.uint8).tobytes())
    label = label_of(tmp_path, palette, MIXED)
    np.testing.assert_array_equal(label, np.where(np.array(greys) == 255, 2, 255))


@pytest.mark.parametrize(("other", "first"), [(9, 0), (1, 255)])
def test_windows_of_a_file_are_read_alike(tmp_path, other, first):
    """A white window is class 0 or ignored: the rest of its file decides."""
    mask = np.full((40, BLOCK + 40), 255, np.uint8)
    mask[30, BLOCK + 30] = other
    windows = kd.data.RandomWindows(size=16, count=30)
    for check_labels in (False, True):
        options = {"windows": windows, "check_labels": check_labels}
        label_of(tmp_path, mask, MIXED, **options)
        labels = read(tmp_path, mask.shape[::-1], MIXED, **options)
        for index, label in enumerate(labels):
            _, row, column, height, width = windows.place(index, [mask.shape])
            part = mask[row : row + height, column : column + width]
            expected = np.where(part == 255, first, {9: 2, 1: 1}[other])
            np.testing.assert_array_equal(label, expected)


def test_nodata_does_not_decide(tmp_path):
    options = {"driver": "GTiff", "nodata": 7}
    for values, expected in (([[9, 7]], [[2, 255]]), ([[1, 7]], [[1, 255]])):
        write_raster(tmp_path / "masks/a.tif", np.uint8(values), **options)
        np.testing.assert_array_equal(read(tmp_path, (2, 1), MIXED)[0], expected)
    write_raster(tmp_path / "masks/a.tif", np.uint8([[255, 7]]), **options)
    np.testing.assert_array_equal(read(tmp_path, (2, 1), BINARY)[0], [[1, 255]])
