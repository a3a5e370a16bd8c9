"""The order of training samples, and which decoded images stay in memory."""

import weakref
from collections.abc import Callable

import tensorflow as tf

from keras_deeplab._internal.memory import available_memory
from keras_deeplab.data.elements import elements_of

SHARE = 0.5  # of the available memory for decoded images; the rest is for the training
# Bytes of the buffer that shuffles what can only be read in sequence. Fixed, because the order
# depends on it, and a run may be resumed while less memory is available.
BUFFER = 2 * 2**30


class ImageMemory:
    """The memory for decoded images, which all datasets of a process share.

    Args:
        budget: Bytes; by default half of what is available when the first dataset asks.
    """

    def __init__(self, budget: int | None = None) -> None:
        self._budget = budget
        self._granted: weakref.WeakKeyDictionary[tf.data.Dataset, int] = weakref.WeakKeyDictionary()

    def grants(self, dataset: tf.data.Dataset, workers: int = 1) -> bool:
        """Whether a dataset is to be kept and fits beside those granted before.

        The answer for a dataset stays the same.

        Args:
            dataset: Finite dataset of `(image, label)`.
            workers: Processes that each keep it, maybe on this machine.
        """
        if self._budget is None:
            self._budget = int(SHARE * available_memory())
        if dataset not in self._granted:
            elements = elements_of(dataset)
            needed = workers * elements.nbytes
            fits = elements.kept and needed <= self._budget - sum(self._granted.values())
            self._granted[dataset] = needed if fits else 0
        return self._granted[dataset] > 0


MEMORY = ImageMemory()


def cache_if_small(
    dataset: tf.data.Dataset, workers: int = 1, memory: ImageMemory = MEMORY
) -> tf.data.Dataset:
    """Caches a dataset in memory if all its elements fit.

    Args:
        dataset: Finite dataset of `(image, label)`.
        workers: Processes that each keep it.
        memory: The memory.
    """
    return dataset.cache() if memory.grants(dataset, workers) else dataset


def shuffled_epochs(
    dataset: tf.data.Dataset,
    seed: int,
    start: int,
    *,
    workers: int = 1,
    is_own: Callable[[tf.Tensor], tf.Tensor] | None = None,
    memory: ImageMemory = MEMORY,
    buffer: int = BUFFER,
) -> tf.data.Dataset:
    """Endless `(index, element)` from index `start` on; every epoch has a different order.

    The order depends on the dataset and the seed alone, not on whether the elements fit in memory:
    indices shuffled before their elements are read come in the order of shuffled elements.

    Args:
        dataset: Finite dataset of `(image, label)`.
        seed: Seed of the order.
        start: Elements to skip, without reading those of earlier epochs.
        workers: Processes that each call this.
        is_own: Function of an index that says whether this process needs the element; `None` for
            all. Others are not read where elements can be read by index and are not kept.
        memory: The memory.
        buffer: Bytes of the buffer that shuffles elements that can only be read in sequence.
    """
    known, size = elements_of(dataset), int(dataset.cardinality())
    load = known.load
    mixed = size if load else min(size, max(buffer * size // max(known.nbytes, 1), 1))
    if memory.grants(dataset, workers):
        dataset, load = dataset.cache(), None
    elif load:
        dataset = tf.data.Dataset.range(size)

    def epoch(index):
        # shuffle mixes its seed with the graph's, by default that of tf.random.set_seed.
        tf.compat.v1.set_random_seed(1)
        order = tf.random.stateless_uniform([], [seed, index], None, None, dtype=tf.int64)
        return dataset.shuffle(mixed, seed=order)

    first, skipped = divmod(start, size)
    numbered = tf.data.Dataset.counter(first).flat_map(epoch).skip(skipped).enumerate(start)
    if is_own is not None:
        numbered = numbered.filter(lambda index, _: is_own(index))
    if load is None:
        return numbered
    return numbered.map(
        lambda index, place: (index, load(place)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
