"""Strong augmentation: what becomes of labels, seeds, and whoever does not ask for it."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from pictures import as_dataset, painted, picture

from keras_deeplab.data.augmentation import strong
from keras_deeplab.data.augmentation.batches import training_batches

SIDE = 64
PAD_COLOR = (124, 116, 104)


@pytest.fixture(scope="module")
def samples():
    """Strong samples of a painted picture, of the classes 1 and 2: (image, label) of 60 seeds."""
    image, label = (tf.constant(x) for x in painted(3, SIDE, SIDE))
    label += 1  # keras-cv would fill with 0
    draw = tf.function(lambda seed: strong.random_strong(image, label, seed, color=PAD_COLOR))
    return [tuple(x.numpy() for x in draw(tf.constant([index, 8]))) for index in range(60)]


def test_labels_hold_only_original_values_and_ignore(samples):
    values, counts = np.unique([label for _, label in samples], return_counts=True)
    assert values.tolist() == [1, 2, 255]
    assert 0.05 < counts[2] / counts.sum() < 0.5
    assert all(image.dtype == np.uint8 and label.dtype == np.uint8 for image, label in samples)


def test_labels_follow_the_image(samples):
    """Where colours were not turned upside down, brightness still tells the class."""
    for new_image, new_label in samples:
        bright, dark = (new_image.mean(-1)[new_label == value] for value in (2, 1))
        threshold = (np.median(bright) + np.median(dark)) / 2
        agreement = ((bright > threshold).mean() + (dark <= threshold).mean()) / 2
        agreement = max(agreement, 1 - agreement)  # solarized pictures are negatives
        if abs(np.median(bright) - np.median(dark)) > 20:  # not flattened by the distortion
            assert agreement > 0.8


def test_shears_and_shifts_have_every_strength(samples):
    ignored = [(new_label == 255).mean() for _, new_label in samples]
    assert min(ignored) == 0 and max(ignored) > 0.15
    shapes = {(new_label != 255).tobytes() for _, new_label in samples}
    assert len(shapes) > 25


def test_jitter_moves_within_its_range():
    """A smaller picture lies in the upper left corner, padded with the colour and ignored."""
    images = tf.fill([1, SIDE, SIDE, 3], 9.0)
    masks = tf.fill([1, SIDE, SIDE, 1], 2.0)
    sides = []
    for index in range(80):
        new_images, new_masks = strong._jittered_resize(images, masks, [index, 0], PAD_COLOR)
        inside = new_masks[0, ..., 0].numpy() == 2
        side = inside[0].sum()
        assert inside[:side, :side].all() and inside.sum() == side * side
        np.testing.assert_allclose(new_images[0].numpy()[inside], 9, atol=1e-3)
        assert (new_images[0].numpy()[~inside] == PAD_COLOR).all()
        assert (new_masks[0, ..., 0].numpy()[~inside] == 255).all()
        sides.append(side)
    assert 51 <= min(sides) < 54
    assert 0.4 < np.mean(np.array(sides) == SIDE) < 0.72  # ratios of 1 to 1.25, of 0.8 to 1.25


def test_enlarged_pictures_are_cropped_anywhere():
    masks = tf.cast(tf.reshape(tf.range(SIDE * SIDE) // SIDE, [1, SIDE, SIDE, 1]), tf.float32)
    images = tf.repeat(masks, 3, axis=-1)
    tops = [
        float(strong._jittered_resize(images, masks, [index, 1], PAD_COLOR)[1][0, 0, 0, 0])
        for index in range(60)
    ]
    assert min(tops) == 0 and max(tops) > 5


def test_batches_are_resumed_exactly():
    dataset = as_dataset([picture(i, 40, 50) for i in range(3)])

    def batches(count, start):
        stream = training_batches(
            dataset, batch_size=2, crop=32, seed=5, start_step=start, augmentation="strong"
        )
        return [(x.numpy(), y.numpy()) for x, y in stream.take(count)]

    whole = batches(4, 0)
    for (x, y), (x2, y2) in zip(whole[2:], batches(2, 2), strict=True):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)


def test_other_bands_and_floats():
    image = tf.random.stateless_uniform([SIDE, SIDE, 5], [1, 2], 0.0, 255.0)
    label = tf.ones([SIDE, SIDE], tf.uint8)
    color = (116,) * 5
    for index in range(6):
        new_image, new_label = strong.random_strong(image, label, [index, 0], color=color)
        assert new_image.dtype == tf.float32 and new_image.shape == image.shape
        assert set(np.unique(new_label)) <= {1, 255}


@pytest.mark.long
def test_keras_cv_is_imported_for_strong_only_and_quietly():
    code = """if True:
        import sys, numpy as np
        from keras_deeplab.commands.startup import import_tensorflow
        import_tensorflow()
        from keras_deeplab.data import augment
        image, label = np.zeros((8, 8, 3), "uint8"), np.zeros((8, 8), "uint8")
        augment(image, label, [0, 0], crop=8)
        assert "keras_cv" not in sys.modules
        sys.stderr.write("before\\n")
        import keras_deeplab.data.augmentation.strong
        keras_deeplab.data.augmentation.strong._keras_cv()
        assert "keras_cv" in sys.modules
        sys.stderr.write("after\\n")
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "before\nafter\n" in done.stderr and not done.stdout
