"""Endless training batches of an (image, label) dataset, reproducible from any step."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_deeplab._internal.errors import InputError
from keras_deeplab.data.augmentation.geometry import (
    pad_to,
    random_crop_of_resized,
    random_flip,
    random_right_angle,
)
from keras_deeplab.data.augmentation.photometric import random_photometric_distortion
from keras_deeplab.data.augmentation.resize import to_hwc

PAD_COLOR = (124, 116, 104)  # the mean of the network's preprocessing, rounded
PAD_VALUE = 116  # of every band if there are not 3: the mean of PAD_COLOR
MEMORY = 4 * 2**30  # bytes of decoded images to keep; fixed, because the order depends on it


def augment(
    image: tf.Tensor,
    label: tf.Tensor,
    seed: tf.Tensor | Sequence[int],
    *,
    crop: int,
    base_size: tuple[int, int] | None = None,
    scale_range: tuple[float, float] = (0.5, 2.0),
    rotate: bool = True,
    augmentation: str = "published",
) -> tuple[tf.Tensor, tf.Tensor]:
    """One training sample: resize, crop, flip, distort, pad, in the order of the reference.

    Args:
        image: `(H, W, C)` uint8, or float32 0..255, which is never rounded. Three bands are treated
            as RGB; with other numbers of bands, saturation and hue do not change.
        label: `(H, W)` uint8 class indices, 255 for ignored pixels.
        seed: Two integers; the same seed gives the same sample.
        crop: Side of the sample in pixels.
        base_size: Long and short side that an image is resized to at ratio 1, keeping its aspect
            ratio: `(2048, 512)` resizes LoveDA's square images to 512. `None`: the image's size.
        scale_range: Lowest and highest resize ratio.
        rotate: Whether to rotate by multiples of 90 degrees, for nadir images. The published
            training does not.
        augmentation: `"published"`, or `"strong"` to add keras-cv's jittered resize and
            RandAugment.

    Returns:
        `(image, label)` of `(crop, crop, C)` in the image's dtype and `(crop, crop)` uint8. Labels
        have only values of `label` and 255.
    """
    image, label = tf.convert_to_tensor(image), tf.convert_to_tensor(label)
    seeds = tf.unstack(tf.random.split(seed, 5))
    color = PAD_COLOR if image.shape[-1] == 3 else (PAD_VALUE,) * image.shape[-1]
    window, label = random_crop_of_resized(
        image, label, seeds[0], crop=crop, base_size=base_size, scale_range=scale_range
    )
    # The distortion is per pixel: before the flip it gives the same result, in a faster layout.
    window = random_photometric_distortion(window, seeds[3])
    image = to_hwc(window, tf.shape(label))
    image, label = random_flip(image, label, seeds[1])
    if rotate:
        image, label = random_right_angle(image, label, seeds[2])
    image, label = pad_to(image, label, crop, color)
    if augmentation == "strong":
        from keras_deeplab.data.augmentation.strong import (
            random_strong,  # keras-cv takes seconds to import
        )

        image, label = random_strong(image, label, seeds[4], color=color)
    return image, label


def training_batches(
    dataset: tf.data.Dataset,
    *,
    batch_size: int,
    crop: int,
    seed: int = 0,
    start_step: int = 0,
    workers: int = 1,
    worker: int = 0,
    **augmentation: Any,
) -> tf.data.Dataset:
    """Shuffled, augmented, endless batches.

    Batch `n` depends only on the dataset, the seed and `n`, not on the number of threads and
    workers: starting at `start_step` continues exactly where an interrupted run stopped.

    Datasets of up to 4 GiB are decoded once, kept in memory and shuffled as a whole. Larger ones
    are decoded again in each epoch and shuffled in a buffer of 4 GiB, so their images should not be
    sorted. Each worker reads all images and augments only its own samples.

    Args:
        dataset: Finite dataset of `(image, label)`, for example of `from_folder`.
        batch_size: Samples in a batch, over all workers.
        crop: Side of a sample in pixels.
        seed: Seed of the whole run.
        start_step: Batches to skip.
        workers: Processes that train together.
        worker: Index of this process; it gets its equal part of every batch.
        **augmentation: `base_size`, `scale_range`, `rotate` and `augmentation` of `augment`.

    Returns:
        Dataset of `(batch_size // workers, crop, crop, C)` images in the dataset's dtype and
        `(batch_size // workers, crop, crop)` uint8 labels.

    Raises:
        ValueError: When the dataset is empty or of unknown size, or the workers cannot share a
            batch evenly.
    """
    if batch_size % workers or not 0 <= worker < workers:
        raise InputError(
            f"Worker {worker} of {workers} cannot get an equal part of batches of {batch_size}: "
            "use a batch_size divisible by the number of workers, and count workers from 0."
        )
    share = batch_size // workers

    def is_own(index, _):
        return index % batch_size // share == worker

    def sample(index, pair):
        image, label = pair
        sample_seed = tf.stack([tf.constant(seed, tf.int64), index])
        return augment(image, label, sample_seed, crop=crop, **augmentation)

    return (
        shuffled_epochs(dataset, seed, start_step * batch_size)
        .filter(is_own)
        .map(sample, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(share, drop_remainder=True)
        .prefetch(2)
    )


def shuffled_epochs(
    dataset: tf.data.Dataset, seed: int, start: int, memory: int = MEMORY
) -> tf.data.Dataset:
    """Endless `(index, element)` from index `start` on; every epoch has a different order.

    Args:
        dataset: Finite dataset of `(image, label)`.
        seed: Seed of the order.
        start: Elements to skip, without reading those of earlier epochs.
        memory: Bytes of elements to keep, estimated from the first one.
    """
    size, kept = int(dataset.cardinality()), elements_within(dataset, memory)
    if size <= kept:
        dataset = dataset.cache()

    def epoch(index):
        # shuffle mixes its seed with the graph's, by default that of tf.random.set_seed.
        tf.compat.v1.set_random_seed(1)
        order = tf.random.stateless_uniform([], [seed, index], None, None, dtype=tf.int64)
        return dataset.shuffle(min(size, kept), seed=order)

    first, skipped = divmod(start, size)
    epochs = tf.data.Dataset.counter(first).flat_map(epoch)
    return epochs.skip(skipped).enumerate(start)


def cache_if_small(dataset: tf.data.Dataset, memory: int = MEMORY) -> tf.data.Dataset:
    """Caches a dataset in memory if all its elements fit.

    Args:
        dataset: Finite dataset of `(image, label)`.
        memory: Available bytes.
    """
    return dataset.cache() if len(dataset) <= elements_within(dataset, memory) else dataset


def elements_within(dataset: tf.data.Dataset, memory: int) -> int:
    """Number of elements of a dataset that fit in `memory` bytes, estimated from the first one."""
    size = int(dataset.cardinality())
    if size <= 0:
        raise InputError(f"The dataset must have a known size above 0, got {size}.")
    element = next(iter(dataset.take(1)))
    return max(memory // sum(part.dtype.size * int(tf.size(part)) for part in element), 1)
