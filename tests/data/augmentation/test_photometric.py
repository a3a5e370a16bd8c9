"""Photometric distortion against OpenCV's 8-bit arithmetic in NumPy, and how often it happens."""

import numpy as np
import pytest
import tensorflow as tf

from keras_deeplab.data.augmentation.hsv import adjust_hue, adjust_saturation
from keras_deeplab.data.augmentation.photometric import (
    _distort,
    adjust_brightness,
    adjust_contrast,
    packed,
    random_photometric_distortion,
    unpacked,
)

COLORS = np.random.default_rng(0).integers(0, 256, (4096, 3)).astype(np.uint8)
COLORS[:600] = COLORS[:600, :1]  # greys
COLORS[600:1200, 1] = COLORS[600:1200, 0]  # two equal colours


def adjusted(adjust, strength, colors=COLORS):
    """What an adjustment makes of colours `(N, 3)`, in their dtype."""
    integers = colors.dtype == np.uint8
    bands = adjust([band.astype(np.float32) for band in colors.T], strength, integers)
    return np.stack(bands, -1).astype(colors.dtype)


def to_hsv(colors):
    """OpenCV's 8-bit HSV with its tables of quotients, from its documentation and integers."""
    red, green, blue = colors.astype(int).T
    value = colors.max(-1).astype(int)
    chroma = value - colors.min(-1)
    quotients = 4096 / np.arange(1, 256)
    saturations, hues = (np.r_[0, np.rint(most * quotients)].astype(int) for most in (255, 30))
    hue = np.where(
        value == red,
        green - blue,
        np.where(value == green, blue - red + 2 * chroma, red - green + 4 * chroma),
    )
    hue = (hue * hues[chroma] + 2048) >> 12
    return hue % 180, (chroma * saturations[value] + 2048) >> 12, value


def to_rgb(hue, saturation, value):
    """The hexcone's six sectors, one by one; cut off to integers."""
    sector, part = hue // 30, hue % 30 / 30
    saturation = saturation / 255
    low = value * (1 - saturation)
    falling = value * (1 - saturation * part)
    rising = value * (1 - saturation * (1 - part))
    red = np.choose(sector, [value, falling, low, low, rising, value])
    green = np.choose(sector, [rising, value, value, falling, low, low])
    blue = np.choose(sector, [low, low, rising, value, value, falling])
    return np.floor(np.stack([red, green, blue], -1) + 1e-9).astype(int)


def assert_colors_equal(actual, expected):
    """Equal, but for ties of hue (a thirtieth of the chroma) and of the last cut-off."""
    difference = np.abs(actual.astype(int) - expected)
    assert (difference == 0).mean() > 0.97 and (difference > 1).mean() < 0.01
    assert difference.max() <= 10


@pytest.mark.parametrize("delta", [-32.0, -0.4, 0.0, 17.8, 32.0])
def test_brightness_is_cut_off_and_clipped(delta):
    expected = np.clip(COLORS + delta, 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(adjusted(adjust_brightness, delta), expected)


@pytest.mark.parametrize("factor", [0.5, 0.99, 1.0, 1.5])
def test_contrast_is_cut_off_and_clipped(factor):
    expected = np.clip(COLORS * np.float32(factor), 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(adjusted(adjust_contrast, factor), expected)


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.3])
def test_saturation_goes_through_8_bit_hsv(factor):
    hue, saturation, value = to_hsv(COLORS)
    saturation = np.clip(saturation * np.float32(factor), 0, 255).astype(np.uint8)
    assert_colors_equal(adjusted(adjust_saturation, factor), to_rgb(hue, saturation, value))


@pytest.mark.parametrize("delta", [-18, 0, 17])
def test_hue_goes_through_8_bit_hsv(delta):
    hue, saturation, value = to_hsv(COLORS)
    expected = to_rgb((hue + delta) % 180, saturation, value)
    assert_colors_equal(adjusted(adjust_hue, float(delta)), expected)


def test_the_oracle_is_opencv():
    """Where OpenCV is installed, as it is for the benchmark of the pipeline."""
    cv2 = pytest.importorskip("cv2")
    hsv = cv2.cvtColor(COLORS[np.newaxis], cv2.COLOR_RGB2HSV)[0]
    np.testing.assert_array_equal(np.stack(to_hsv(COLORS), -1), hsv)
    expected = cv2.cvtColor(hsv[np.newaxis], cv2.COLOR_HSV2RGB)[0].astype(int)
    assert_colors_equal(to_rgb(*to_hsv(COLORS)), expected)


def test_floats_keep_their_fractions():
    colors = COLORS.astype(np.float32) * 0.99
    assert np.abs(adjusted(adjust_hue, 0.0, colors) - colors).max() < 1e-3
    assert np.abs(adjusted(adjust_saturation, 1.0, colors) - colors).max() < 1e-3
    np.testing.assert_allclose(
        adjusted(adjust_brightness, 0.5, colors), np.clip(colors + 0.5, 0, 255), atol=1e-4
    )


def test_packed_pixels_are_their_colours():
    colors = COLORS.reshape(64, 64, 3)
    pixels = np.array([[[packed(color)] for color in row] for row in colors], np.uint32)
    np.testing.assert_array_equal(unpacked(pixels), colors)


@pytest.mark.parametrize("seed", range(8))
def test_packed_pixels_are_distorted_as_those_of_more_bands(seed):
    """Without saturation and hue, which need three bands."""
    window = COLORS.reshape(64, 64, 3).transpose(1, 2, 0)
    coins, strengths = (np.random.default_rng(seed).random(n) for n in (3, 4))
    arguments = coins < 0.5, (strengths * [60, 1, 1, 1] + [-30, 0.5, 0, 0]).astype("float32")
    options = {"saturate": False, "shift_hue": False}
    (pixels,) = _distort(tf.constant(window), *arguments, **options)
    four = tf.constant(np.concatenate([window, window[:, :1]], 1))
    bands = np.stack(_distort(four, *arguments, **options), 1)
    found = unpacked(pixels[..., np.newaxis]).numpy()
    np.testing.assert_array_equal(found, bands[:, :3].transpose(0, 2, 1))


def drawn(color, draws=400, dtype=np.uint8):
    """What many seeds make of one colour."""
    window = np.tile(np.array(color, dtype)[:, np.newaxis], (2, 1, 2))  # columns, bands, rows
    results = [random_photometric_distortion(window, [i, 0]) for i in range(draws)]
    return np.array([result[0, :, 0] for result in results])


def test_how_often_and_how_much():
    gray = drawn((100,), dtype=np.float32)[:, 0]  # one band: neither saturation nor hue
    assert 0.19 < (gray == 100).mean() < 0.31  # neither brightness nor contrast
    # (100 +- 32) * [0.5, 1.5]: contrast follows brightness either way.
    assert 34 <= gray.min() < 45 and 175 < gray.max() <= 198


def test_hue_and_saturation_keep_to_their_ranges():
    colors = drawn((100, 60, 60), draws=500, dtype=np.float32)  # dark enough never to be clipped
    hue = np.asarray(tf.image.rgb_to_hsv(colors / 255.0))[:, 0] * 180
    hue = (hue + 90) % 180 - 90
    steps = np.rint(hue)
    assert np.abs(hue - steps).max() < 1e-2
    assert steps.min() == -18 and steps.max() == 17
    assert 0.42 < (steps == 0).mean() < 0.61  # half, and one in 36 of the others


def test_contrast_comes_first_or_last():
    """The same draws but for the first coin: 250 is clipped before its hue is turned, or after."""
    color = np.array([[250, 60, 30]], np.uint8)
    strengths = [0.0, 1.5, 1.0, 8.0]
    results = {
        first: _distort(
            tf.constant(color[..., np.newaxis]),
            tf.constant([first, False, True]),
            strengths,
            saturate=False,
            shift_hue=True,
        )
        for first in (True, False)
    }
    results = {
        first: unpacked(pixels[..., np.newaxis])[0, 0].numpy()
        for first, (pixels,) in results.items()
    }
    clipped = np.array([[255, 90, 45]], np.uint8)
    expected = adjusted(adjust_hue, 8.0, clipped)[0]
    np.testing.assert_allclose(results[True], expected, atol=1)
    turned = adjusted(adjust_hue, 8.0, color)[0]
    np.testing.assert_allclose(results[False], np.minimum(turned * 1.5, 255), atol=2)
    assert abs(int(results[True][1]) - int(results[False][1])) > 20
