"""Endless training batches of a (image, label) dataset, reproducible from any step."""

import tensorflow as tf

from keras_deeplab.data.augmentation.geometry import (
    pad_to,
    random_crop_of_resized,
    random_flip,
    random_right_angle,
)
from keras_deeplab.data.augmentation.photometric import random_photometric_distortion
from keras_deeplab.data.augmentation.resize import to_hwc

PAD_COLOR = (124, 116, 104)  # the mean of the network's preprocessing, rounded
PAD_VALUE = 116  # of every band when there are not 3: the mean over the colours
MEMORY = 4 * 2**30  # bytes of decoded images to keep; the same on every machine, as is the order


def augment(
    image,
    label,
    seed,
    *,
    crop,
    base_size=None,
    scale_range=(0.5, 2.0),
    rotate=True,
    augmentation="published",
):
    """One training sample: resize, crop, flip, distort, pad, in the order of the reference.

    Args:
        image: `(H, W, C)` uint8, or float32 0..255, which is never rounded. Three bands are taken
            as RGB; with others, saturation and hue are left alone.
        label: `(H, W)` uint8 class indices, 255 for ignored pixels.
        seed: Two integers; the same seed gives the same sample.
        crop: Side of the sample in pixels.
        base_size: Long and short side that ratio 1 resizes to, keeping the image's own ratio:
            `(2048, 512)` brings LoveDA's square images to 512. `None`: the image's own size.
        scale_range: Lowest and highest resize ratio.
        rotate: Whether to turn by right angles, for images taken from straight above. The
            published training does not.
        augmentation: `"published"`, or `"strong"` for keras-cv's jittered resize and RandAugment
            on top.

    Returns:
        `(image, label)` of `(crop, crop, C)` in the image's dtype and `(crop, crop)` uint8. Labels
        hold only values of `label` and 255.
    """
    image, label = tf.convert_to_tensor(image), tf.convert_to_tensor(label)
    seeds = tf.unstack(tf.random.split(seed, 5))
    color = PAD_COLOR if image.shape[-1] == 3 else (PAD_VALUE,) * image.shape[-1]
    window, label = random_crop_of_resized(
        image, label, seeds[0], crop=crop, base_size=base_size, scale_range=scale_range
    )
    # The distortion sees single pixels: it may come before the flip, where its layout is fastest.
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
    dataset, *, batch_size, crop, seed=0, start_step=0, workers=1, worker=0, **augmentation
):
    """Shuffled, augmented, endless batches.

    Batch `n` depends on the dataset, the seed and `n` alone, however many threads and workers
    there are: starting at `start_step` continues exactly where an interrupted run was.

    Datasets of up to 4 GiB are decoded once, kept in memory and shuffled as a whole. Larger ones
    are read anew in each epoch and shuffled in a buffer of 4 GiB: give them in an order that does
    not matter. Each worker reads all images and augments only its own samples.

    Args:
        dataset: Finite `tf.data.Dataset` of `(image, label)` as `from_folder` gives it.
        batch_size: Samples in a batch, those of all workers together.
        crop: Side of a sample in pixels.
        seed: Integer of the whole run.
        start_step: Batches to pass over.
        workers: Processes that train together.
        worker: Index of this one among them; it gets its equal part of every batch.
        **augmentation: `base_size`, `scale_range`, `rotate` and `augmentation` of `augment`.

    Returns:
        `tf.data.Dataset` of `(batch_size // workers, crop, crop, C)` images in the dataset's dtype
        and `(batch_size // workers, crop, crop)` uint8 labels.

    Raises:
        ValueError: When the dataset is empty or of unknown size, or the workers cannot share a
            batch evenly.
    """
    if batch_size % workers or not 0 <= worker < workers:
        raise ValueError(
            f"Worker {worker} of {workers} cannot take an equal part of batches of {batch_size}: "
            "choose a batch_size divisible by the workers, and count them from 0."
        )
    share = batch_size // workers

    def is_ours(index, _):
        return index % batch_size // share == worker

    def sample(index, pair):
        sample_seed = tf.stack([tf.constant(seed, tf.int64), index])
        return augment(*pair, sample_seed, crop=crop, **augmentation)

    return (
        shuffled_epochs(dataset, seed, start_step * batch_size)
        .filter(is_ours)
        .map(sample, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(share, drop_remainder=True)
        .prefetch(2)
    )


def shuffled_epochs(dataset, seed, start, memory=MEMORY):
    """Endless `(index, element)` from index `start` on; every epoch has an order of its own.

    Args:
        dataset: Finite `tf.data.Dataset` of `(image, label)`.
        seed: Integer.
        start: Elements to pass over, without reading those of earlier epochs.
        memory: Bytes of elements that may be kept, judged by the first one.
    """
    size, kept = int(dataset.cardinality()), elements_within(dataset, memory)
    if size <= kept:
        dataset = dataset.cache()

    def epoch(index):
        # shuffle mixes its seed with the graph's, by default that of tf.random.set_seed.
        tf.compat.v1.set_random_seed(1)
        order = tf.random.stateless_uniform([], [seed, index], None, None, dtype=tf.int64)
        return dataset.shuffle(min(size, kept), seed=order)

    first, passed = divmod(start, size)
    epochs = tf.data.Dataset.counter(first).flat_map(epoch)
    return epochs.skip(passed).enumerate(start)


def cache_if_small(dataset, memory=MEMORY):
    """The dataset, its elements kept once read, if all of them together need no more memory.

    Args:
        dataset: Finite `tf.data.Dataset` of `(image, label)`.
        memory: Bytes.
    """
    return dataset.cache() if len(dataset) <= elements_within(dataset, memory) else dataset


def elements_within(dataset, memory):
    """How many elements of a dataset have room in so many bytes, judged by the first one."""
    size = int(dataset.cardinality())
    if size <= 0:
        raise ValueError(f"A dataset of known size above 0 is needed, got {size}.")
    element = next(iter(dataset.take(1)))
    return max(memory // sum(part.dtype.size * int(tf.size(part)) for part in element), 1)
