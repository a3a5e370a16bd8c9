"""Random crops, flips, turns and padding: what must hold, and how often it happens."""

import numpy as np
import pytest
import tensorflow as tf
from pictures import picture

from keras_deeplab.data.augmentation.geometry import (
    pad_to,
    random_crop_of_resized,
    random_flip,
    random_right_angle,
)

NUMBERED = np.arange(6, dtype=np.uint8).reshape(2, 3)


def sizes(draws, height, width, **options):
    """Sizes of the resized picture for many seeds, seen through a crop that is never smaller."""
    image, label = tf.zeros((height, width, 1), tf.uint8), tf.zeros((height, width), tf.uint8)
    draw = tf.function(
        lambda seed: tf.shape(random_crop_of_resized(image, label, seed, crop=96, **options)[1])
    )
    return np.array([draw(tf.constant([index, 3])) for index in range(draws)])


def test_ratios_fill_their_range_evenly():
    sides = sizes(300, 40, 40, base_size=None, scale_range=(0.5, 2.0))[:, 0] / 40
    assert 0.5 <= sides.min() < 0.53 and 1.97 < sides.max() <= 2.0
    counts, _ = np.histogram(sides, 3, (0.5, 2.0))
    assert counts.min() > 75


@pytest.mark.parametrize(
    "old, scale, expected",
    [
        ((40, 40), (80, 20), (20, 20)),  # LoveDA's (2048, 512) on square images: to the short side
        ((40, 60), (90, 60), (60, 90)),
        ((30, 60), None, (30, 60)),
    ],
)
def test_ratio_one_resizes_to_the_scale(old, scale, expected):
    assert sizes(1, *old, base_size=scale, scale_range=(1.0, 1.0)).tolist() == [list(expected)]


def test_a_ratio_multiplies_the_base_size_and_rounds_down():
    assert sizes(1, 40, 40, base_size=(80, 21), scale_range=(0.5, 0.5)).tolist() == [[10, 10]]


def test_a_dominated_crop_is_drawn_again():
    """All but a corner is one class: eleven draws meet the corner more often than one."""
    image = np.zeros((100, 100, 3), np.uint8)
    label = np.zeros((100, 100), np.uint8)
    label[:34, :34] = np.arange(34)[:, None] % 2
    label[0] = 255  # ignored pixels count for no class
    options = {"crop": 32, "base_size": None, "scale_range": (1, 1)}
    mixed = {0.75: 0, 1.01: 0}
    for share in mixed:
        for seed in range(60):
            _, window = random_crop_of_resized(
                image, label, [seed, 0], max_class_share=share, **options
            )
            counts = np.bincount(window.numpy().ravel(), minlength=256)[:255]
            mixed[share] += (counts > 0).sum() > 1 and counts.max() / counts.sum() < 0.75
    assert mixed[0.75] > 1.5 * mixed[1.01]


@pytest.mark.parametrize("case, again", [("exactly", True), ("less", False), ("ignored", True)])
def test_where_a_crop_starts_to_be_dominated(case, again):
    """The left half has that share of class 0 wherever it is cropped; the right half is mixed."""
    label = np.zeros((16, 400), np.uint8)
    columns = {"exactly": 4, "less": 5, "ignored": 5}[case]
    label[:, np.arange(400) % 16 < columns] = 1  # 12 of 16 are 75 %
    if case == "ignored":
        label[:, np.arange(400) % 16 < 4] = 255  # 11 of 12, though 11 of 16 with the ignored
    label[:, 200:] = np.arange(200) % 2
    image = np.zeros((16, 400, 1), np.uint8)
    starts = 0
    for seed in range(60):
        _, window = random_crop_of_resized(
            image, label, [seed, 5], crop=16, base_size=None, scale_range=(1, 1)
        )
        starts += (window.numpy()[0] == 0).sum() > 8
    assert (starts < 8) if again else (starts > 15)


def test_the_last_draw_is_kept():
    image, label = np.zeros((40, 40, 3), np.uint8), np.full((40, 40), 255, np.uint8)
    crop, window = random_crop_of_resized(
        image, label, [0, 0], crop=32, base_size=None, scale_range=(1, 1)
    )
    assert crop.shape == (32, 3, 32) and (window.numpy() == 255).all()


def test_corners_reach_every_place():
    label = tf.constant(np.arange(40, dtype=np.uint8)[:, np.newaxis].repeat(40, 1))
    draw = tf.function(
        lambda seed: random_crop_of_resized(
            label[..., np.newaxis], label, seed, crop=38, base_size=None, scale_range=(1, 1)
        )[1]
    )
    tops = [int(draw(tf.constant([index, 0]))[0, 0]) for index in range(90)]
    assert np.bincount(tops, minlength=3).min() > 15 and max(tops) == 2


def test_half_of_the_samples_are_flipped():
    flips = 0
    for index in range(200):
        image, label = random_flip(NUMBERED[..., np.newaxis], NUMBERED, [index, 1])
        np.testing.assert_array_equal(image[..., 0], label)
        flipped = np.array_equal(label, NUMBERED[:, ::-1])
        assert flipped or np.array_equal(label, NUMBERED)
        flips += flipped
    assert 75 < flips < 125


def test_right_angles_are_equally_likely():
    turns = {
        np.rot90(NUMBERED, k).tobytes() + bytes(np.rot90(NUMBERED, k).shape): k for k in range(4)
    }
    counts = np.zeros(4)
    for index in range(200):
        turned, label = random_right_angle(NUMBERED[..., np.newaxis], NUMBERED, [index, 1])
        turned, label = turned.numpy(), label.numpy()
        np.testing.assert_array_equal(turned[..., 0], label)
        counts[turns[label.tobytes() + bytes(label.shape)]] += 1
    assert counts.min() > 25


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_padding_is_the_colour_and_ignore(dtype):
    color = (124, 116, 104)
    image, label = picture(2, 20, 30)
    image = image.astype(dtype)
    padded, ignored = (x.numpy() for x in pad_to(image, label, 48, color))
    assert padded.dtype == dtype
    np.testing.assert_array_equal(padded[:20, :30], image)
    np.testing.assert_array_equal(ignored[:20, :30], label)
    assert (padded[20:] == color).all() and (padded[:, 30:] == color).all()
    assert (ignored[20:] == 255).all() and (ignored[:, 30:] == 255).all()
