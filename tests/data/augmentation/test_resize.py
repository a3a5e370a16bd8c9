"""Resized windows against the reference's pixels and against OpenCV's arithmetic in NumPy."""

import numpy as np
import pytest
import reference
from pictures import picture

from keras_deeplab.data.augmentation.resize import (
    bilinear_window,
    keep_ratio_size,
    nearest_window,
    to_hwc,
)

ROWS = reference.read("pipeline/resize_normalize.json")["rows"]


def resize_oracle(image, label, new):
    """The whole picture: OpenCV's 11-bit fixed-point bilinear, and its nearest."""

    def axis(size, length):
        source = np.clip((np.arange(length) + 0.5) * size / length - 0.5, 0, size - 1)
        low = np.floor(source).astype(int)
        return low, np.minimum(low + 1, size - 1), np.rint((source - low) * 2048).astype(int)

    y0, y1, fy = axis(label.shape[0], new[0])
    x0, x1, fx = axis(label.shape[1], new[1])
    image, fx, fy = image.astype(int), fx[:, np.newaxis], fy[:, np.newaxis, np.newaxis]
    across = (image[:, x0] * (2048 - fx) + image[:, x1] * fx) >> 4
    resized = ((across[y0] * (2048 - fy) >> 16) + (across[y1] * fy >> 16) + 2) >> 2
    nearest = label[np.arange(new[0]) * label.shape[0] // new[0]]
    return resized, nearest[:, np.arange(new[1]) * label.shape[1] // new[1]]


def whole(image, new):
    """The whole resized image, cut from a square window."""
    return to_hwc(bilinear_window(image, new, [0, 0], max(new)), new).numpy()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["scale_w_h"]))
def test_equals_the_reference(row):
    name, size = row["image"].split("'")[1], row["image"].split("'")[2]
    height, width = (int(side) for side in size.split(")")[0].split(",")[1:])
    image = reference.golden.make_image_u8(name, height, width)
    new = row["result_hw"]
    if row["keep_ratio"]:
        assert keep_ratio_size((height, width), row["scale_w_h"]).numpy().tolist() == new
    resized = whole(image, new).astype(int)
    _, y, x = np.transpose(row["positions_nyx"])
    assert np.abs(resized[y, x] - row["resized_uint8"]).max() <= 1
    np.testing.assert_allclose(resized.mean((0, 1)), row["result_mean"], atol=0.03)


@pytest.mark.parametrize("new", [(30, 41), (51, 69), (61, 83), (104, 141), (122, 166)])
def test_a_window_is_cut_from_the_resized_picture(new):
    image, label = picture(1, 61, 83)
    resized, nearest = resize_oracle(image, label, new)
    for corner in ((0, 0), (3, 7), (new[0] - 24, new[1] - 24)):
        place = tuple(slice(start, start + 24) for start in corner)
        window = to_hwc(bilinear_window(image, new, corner, 24), (24, 24)).numpy().astype(int)
        difference = np.abs(window - resized[place])
        assert difference.max() <= 1 and (difference > 0).mean() < 0.1
        window = nearest_window(label, new, corner, (24, 24)).numpy()
        np.testing.assert_array_equal(window, nearest[place])


def test_labels_of_more_than_32768_pixels():
    """The last pixels of 50,000 enlarged to 100,000: their indices' products exceed 31 bits."""
    label = (np.arange(50_000) % 251).astype(np.uint8)[np.newaxis]
    window = nearest_window(label, (2, 100_000), (0, 99_900), (2, 100)).numpy()
    np.testing.assert_array_equal(window, np.tile(label[:, -50:].repeat(2, 1), (2, 1)))


def test_floats_are_not_rounded():
    image = np.array([[[0.25], [1.0]]], np.float32)
    np.testing.assert_allclose(whole(image, (1, 4))[0, :, 0], [0.25, 0.4375, 0.8125, 1.0])
