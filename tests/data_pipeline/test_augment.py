"""Augmentation against NumPy, and the properties that must hold for any input."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_deeplab.data.batches import PAD_COLOR, augment, training_batches
from keras_deeplab.data.geometry import pad_to, random_crop_of_resized, random_right_angle
from keras_deeplab.data.photometric import random_photometric_distortion


def picture(seed, height, width, classes=4):
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, classes, (height // 8 + 1, width // 8 + 1))
    label = cells.repeat(8, 0).repeat(8, 1)[:height, :width].astype(np.uint8)
    label[rng.random(label.shape) < 0.1] = 255
    image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    return image, label


def resize_oracle(image, label, new):
    """The whole picture resized: bilinear with half-pixel centres; OpenCV's nearest."""
    old = label.shape

    def axis(size, length):
        source = np.clip((np.arange(length) + 0.5) * size / length - 0.5, 0, size - 1)
        low = np.floor(source).astype(int)
        return low, np.minimum(low + 1, size - 1), source - low

    y0, y1, fy = axis(old[0], new[0])
    x0, x1, fx = axis(old[1], new[1])
    rows = image[y0] * (1 - fy)[:, None, None] + image[y1] * fy[:, None, None]
    resized = rows[:, x0] * (1 - fx)[:, None] + rows[:, x1] * fx[:, None]
    nearest = label[np.arange(new[0]) * old[0] // new[0]]
    return resized, nearest[:, np.arange(new[1]) * old[1] // new[1]]


@pytest.mark.parametrize("ratio", [0.5, 0.83, 1.0, 1.7])
def test_crop_of_resized_is_a_crop_of_the_resized_picture(ratio):
    image, label = picture(1, 61, 83)
    resized, nearest = resize_oracle(image, label, (int(61 * ratio + 0.5), int(83 * ratio + 0.5)))
    crop, window = random_crop_of_resized(image, label, [3, 4], crop=24, scales=(ratio, ratio))
    crop, window = crop.numpy(), window.numpy()
    places = [
        (y, x)
        for y in range(nearest.shape[0] - 23)
        for x in range(nearest.shape[1] - 23)
        if np.array_equal(nearest[y : y + 24, x : x + 24], window)
    ]
    assert any(np.abs(resized[y : y + 24, x : x + 24] - crop).max() <= 0.51 for y, x in places)


def test_a_dominated_crop_is_drawn_again():
    """All but a corner is one class: a single draw rarely meets the corner, eleven often do."""
    image = np.zeros((100, 100, 3), np.uint8)
    label = np.zeros((100, 100), np.uint8)
    label[:34, :34] = np.arange(34)[:, None] % 2
    mixed = {0.75: 0, 1.01: 0}
    for share in mixed:
        for seed in range(60):
            _, window = random_crop_of_resized(
                image, label, [seed, 0], crop=32, scales=(1, 1), max_class_share=share
            )
            values, counts = np.unique(window, return_counts=True)
            mixed[share] += len(values) > 1 and counts.max() / counts.sum() < 0.75
    assert mixed[0.75] > 2 * mixed[1.01]


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    seed=st.tuples(st.integers(0, 2**31), st.integers(0, 2**31)),
    rotate=st.booleans(),
)
def test_labels_hold_only_original_values_and_ignore(height, width, seed, rotate):
    image, label = picture(seed[0], height, width)
    new_image, new_label = augment(image, label, seed, crop=48, rotate=rotate)
    assert new_image.shape == (48, 48, 3) and new_image.dtype == tf.uint8
    assert new_label.shape == (48, 48) and new_label.dtype == tf.uint8
    assert set(np.unique(new_label)) <= set(np.unique(label)) | {255}


def test_labels_follow_the_image():
    """With the class painted as brightness, class and brightness agree after augmentation."""
    _, label = picture(5, 45, 60, classes=2)
    label = label.repeat(2, 0).repeat(2, 1)
    label[label == 255] = 0
    image = np.repeat(label[..., np.newaxis] * 250, 3, axis=2)
    agreements = []
    for index in range(20):
        new_image, new_label = (x.numpy() for x in augment(image, label, [9, index], crop=64))
        valid = new_label != 255
        bright = new_image.mean(-1) > 80
        agreements.append((bright == (new_label == 1))[valid].mean())
    assert min(agreements) > 0.85  # bilinear edges blur; a wrong flip or turn would give a half


def test_padding_is_mean_colour_and_ignore():
    image, label = picture(2, 20, 30)
    padded, ignored = (x.numpy() for x in pad_to(image, label, 48, PAD_COLOR))
    np.testing.assert_array_equal(padded[:20, :30], image)
    np.testing.assert_array_equal(ignored[:20, :30], label)
    assert (padded[20:] == PAD_COLOR).all() and (padded[:, 30:] == PAD_COLOR).all()
    assert (ignored[20:] == 255).all() and (ignored[:, 30:] == 255).all()


def test_right_angles_are_equally_likely():
    label = np.arange(6, dtype=np.uint8).reshape(2, 3)
    image = np.repeat(label[..., np.newaxis], 3, 2)
    turns = {np.rot90(label, k).tobytes() + bytes(np.rot90(label, k).shape): k for k in range(4)}
    counts = np.zeros(4)
    for index in range(200):
        turned, new_label = (x.numpy() for x in random_right_angle(image, label, [index, 1]))
        np.testing.assert_array_equal(turned[..., 0], new_label)
        counts[turns[new_label.tobytes() + bytes(new_label.shape)]] += 1
    assert counts.min() > 25


def test_photometric_distortion_is_what_it_says():
    """A quarter of the draws leaves hue and saturation alone; strengths stay in their ranges."""
    image = np.full((2, 2, 3), 100, np.uint8)
    gray = np.array([random_photometric_distortion(image, [i, 0])[0, 0] for i in range(300)])
    assert (gray == gray[:, :1]).all()  # no hue in grey
    # Extremes: (100 +- 32) * [0.5, 1.5]; untouched when neither coin came up: a quarter.
    assert gray.min() >= 34 and gray.max() <= 198
    assert gray.min() < 60 and gray.max() > 160
    assert 0.15 < (gray[:, 0] == 100).mean() < 0.37
    color = np.full((2, 2, 3), (200, 100, 50), np.uint8)
    turned = np.array([random_photometric_distortion(color, [i, 0])[0, 0] for i in range(300)])
    # 18 of 180 steps are 36 degrees; clipping takes orange (20 degrees) no further than yellow.
    hues = np.asarray(tf.image.rgb_to_hsv(turned / 255.0))[:, 0] * 360
    hues = (hues + 180) % 360 - 180
    assert -20 <= hues.min() < 0 and 40 < hues.max() <= 60


def test_batches_depend_on_seed_and_step_alone():
    pairs = [picture(i, 40 + i, 60) for i in range(5)]
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(pairs),
        output_signature=(
            tf.TensorSpec((None, None, 3), tf.uint8),
            tf.TensorSpec((None, None), tf.uint8),
        ),
    ).apply(tf.data.experimental.assert_cardinality(5))

    def batches(count, **options):
        stream = training_batches(dataset, batch_size=2, crop=32, **options)
        return [(x.numpy(), y.numpy()) for x, y in stream.take(count)]

    whole, again = batches(9, seed=7), batches(9, seed=7)
    resumed, other = batches(4, seed=7, start_step=5), batches(9, seed=8)
    for (x, y), (x2, y2) in zip(whole + whole[5:], again + resumed, strict=True):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)
    assert not np.array_equal(whole[0][0], other[0][0])
    assert not np.array_equal(whole[0][0], whole[5][0])
