"""Labelled pictures for the tests of the training pipeline."""

import numpy as np
import tensorflow as tf


def picture(seed, height, width, classes=4):
    """`(H, W, 3)` noise and an `(H, W)` label map of 8 x 8 cells, a tenth of it ignored."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, classes, (height // 8 + 1, width // 8 + 1))
    label = cells.repeat(8, 0).repeat(8, 1)[:height, :width].astype(np.uint8)
    label[rng.random(label.shape) < 0.1] = 255
    image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    return image, label


def painted(seed, height, width):
    """A picture whose brightness is its class: 0 is black, 1 is almost white."""
    _, label = picture(seed, height // 2, width // 2, classes=2)
    label = label.repeat(2, 0).repeat(2, 1)
    label[label == 255] = 0
    return np.repeat(label[..., np.newaxis] * np.uint8(250), 3, axis=2), label


def as_dataset(pairs):
    """A dataset of pictures of any sizes, of known length."""
    signature = (tf.TensorSpec((None, None, 3), tf.uint8), tf.TensorSpec((None, None), tf.uint8))
    dataset = tf.data.Dataset.from_generator(lambda: iter(pairs), output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(len(pairs)))
