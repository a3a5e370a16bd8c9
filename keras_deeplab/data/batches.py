"""Endless training batches of a (image, label) dataset, reproducible from any step."""

import tensorflow as tf

from keras_deeplab.data.geometry import (
    pad_to,
    random_crop_of_resized,
    random_flip,
    random_right_angle,
)
from keras_deeplab.data.photometric import random_photometric_distortion

PAD_COLOR = (124, 116, 104)  # the mean of the network's preprocessing, rounded


def augment(image, label, seed, *, crop, scales=(0.5, 2.0), rotate=True):
    """One training sample: resize, crop, flip, distort, pad, in the order of the reference.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        label: `(H, W)` uint8 class indices, 255 for ignored pixels.
        seed: Two integers; the same seed gives the same sample.
        crop: Side of the sample in pixels.
        scales: Lowest and highest resize ratio.
        rotate: Whether to turn by right angles, for images taken from straight above.

    Returns:
        `(image, label)` of `(crop, crop, 3)` and `(crop, crop)` uint8. Labels hold only values of
        `label` and 255.
    """
    seeds = tf.unstack(tf.random.split(seed, 4))
    image, label = random_crop_of_resized(image, label, seeds[0], crop=crop, scales=scales)
    image, label = random_flip(image, label, seeds[1])
    if rotate:
        image, label = random_right_angle(image, label, seeds[2])
    image = random_photometric_distortion(image, seeds[3])
    return pad_to(image, label, crop, PAD_COLOR)


def training_batches(
    dataset, *, batch_size, crop, seed=0, start_step=0, scales=(0.5, 2.0), rotate=True
):
    """Shuffled, augmented, endless batches.

    Batch `n` depends on the dataset, the seed and `n` alone: starting at `start_step` continues
    exactly where an interrupted run was. Decoded images are kept in memory.

    Args:
        dataset: Finite `tf.data.Dataset` of `(image, label)` as `from_folder` gives it.
        batch_size: Samples in a batch.
        crop: Side of a sample in pixels.
        seed: Integer of the whole run.
        start_step: Batches to pass over.
        scales: Lowest and highest resize ratio.
        rotate: Whether to turn by right angles.

    Returns:
        `tf.data.Dataset` of `(batch_size, crop, crop, 3)` uint8 images and
        `(batch_size, crop, crop)` uint8 labels.
    """
    size = int(dataset.cardinality())
    if size <= 0:
        raise ValueError(f"Training needs a dataset of known size above 0, got {size}.")

    def sample(index, pair):
        return augment(
            *pair,
            tf.stack([tf.constant(seed, tf.int64), index]),
            crop=crop,
            scales=scales,
            rotate=rotate,
        )

    return (
        dataset.cache()
        .shuffle(size, seed=seed, reshuffle_each_iteration=True)
        .repeat()
        .enumerate()
        .skip(start_step * batch_size)
        .map(sample, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(batch_size, drop_remainder=True)
        .prefetch(2)
    )
