"""Endless training batches of an (image, label) dataset, reproducible from any step."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_deeplab._internal.errors import InputError
from keras_deeplab.data.augmentation.epochs import shuffled_epochs
from keras_deeplab.data.augmentation.geometry import (
    pad_to,
    random_crop_of_resized,
    random_flip,
    random_right_angle,
)
from keras_deeplab.data.augmentation.photometric import (
    is_packed,
    packed,
    random_photometric_distortion,
    unpacked,
)
from keras_deeplab.data.augmentation.resize import to_hwc
from keras_deeplab.data.augmentation.sensor import random_sensor
from keras_deeplab.data.elements import check_pairs
from keras_deeplab.models.inputs import input_statistics


def padding_color(
    bands: int, dtype: tf.DType, mean: Sequence[float] | None = None
) -> tuple[float, ...]:
    """Colour of the padding: what the network's preprocessing makes 0, as in the reference.

    The reference pads after its normalisation. The means of uint8 images are rounded, by at most
    half a level: 0.009 after normalisation.

    Args:
        bands: Number of bands.
        dtype: Data type of the images.
        mean: Mean per band that the network subtracts; `None` for that of the reference.
    """
    means = input_statistics(bands)[0] if mean is None else tuple(mean)
    return tuple(map(round, means)) if dtype.is_integer else means


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
    mean: Sequence[float] | None = None,
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
        augmentation: `"published"`; `"strong"` adds keras-cv's jittered resize and RandAugment,
            `"sensor"` blur, gamma, colour balance and JPEG artefacts, see `sensor`.
        mean: Colour of the padding, one value per band: the mean that the network subtracts, see
            `model.metadata`. `None` for that of a ResNet.

    Returns:
        `(image, label)` of `(crop, crop, C)` in the image's dtype and `(crop, crop)` uint8. Labels
        have only values of `label` and 255.
    """
    image, label = tf.convert_to_tensor(image), tf.convert_to_tensor(label)
    seeds = tf.unstack(tf.random.split(seed, 5))
    color = padding_color(image.shape[-1], image.dtype, mean)
    window, label = random_crop_of_resized(
        image, label, seeds[0], crop=crop, base_size=base_size, scale_range=scale_range
    )
    # The distortion is per pixel: before the flip it gives the same result, in a faster layout.
    distorted = random_photometric_distortion(window, seeds[3])
    pixels = to_hwc(distorted, tf.shape(label))
    pixels, label = random_flip(pixels, label, seeds[1])
    if rotate:
        pixels, label = random_right_angle(pixels, label, seeds[2])
    if is_packed(window):
        pixels, label = pad_to(pixels, label, crop, [packed(color)])
        image = unpacked(pixels)
    else:
        image, label = pad_to(pixels, label, crop, color)
    if augmentation == "strong":
        from keras_deeplab.data.augmentation.strong import (
            random_strong,  # keras-cv takes seconds to import
        )

        image, label = random_strong(image, label, seeds[4], color=color)
    elif augmentation == "sensor":
        image = random_sensor(image, seeds[4])
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

    Each epoch has an order of its own. A dataset of `from_folder` or `from_csv` is shuffled as a
    whole, whatever its size. Any other dataset is read in sequence and shuffled in a buffer of
    2 GiB: if it is larger, its images should not be sorted.

    Images that fit in half of the memory available at the start are decoded once and kept. Others
    are decoded again in each epoch. Of those of `from_folder` and `from_csv`, each worker reads
    only its own samples.

    Args:
        dataset: Finite dataset of `(image, label)`, for example of `from_folder`.
        batch_size: Samples in a batch, over all workers.
        crop: Side of a sample in pixels.
        seed: Seed of the whole run.
        start_step: Batches to skip.
        workers: Processes that train together.
        worker: Index of this process; it gets its equal part of every batch.
        **augmentation: `base_size`, `scale_range`, `rotate`, `augmentation`, `mean` of `augment`.

    Returns:
        Dataset of `(batch_size // workers, crop, crop, C)` images in the dataset's dtype and
        `(batch_size // workers, crop, crop)` uint8 labels.

    Raises:
        ValueError: When the dataset is empty or of unknown size, its elements are not single
            images with labels, or the workers cannot share a batch evenly.
    """
    check_pairs(dataset)
    if batch_size % workers or not 0 <= worker < workers:
        raise InputError(
            f"Worker {worker} of {workers} cannot get an equal part of batches of {batch_size}: "
            "use a batch_size divisible by the number of workers, and count workers from 0."
        )
    share = batch_size // workers

    def is_own(index):
        return index % batch_size // share == worker

    def sample(index, pair):
        image, label = pair
        sample_seed = tf.stack([tf.constant(seed, tf.int64), index])
        return augment(image, label, sample_seed, crop=crop, **augmentation)

    return (
        shuffled_epochs(
            dataset,
            seed,
            start_step * batch_size,
            workers=workers,
            is_own=is_own if workers > 1 else None,
        )
        .map(sample, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(share, drop_remainder=True)
        .prefetch(2)
    )
