"""The order of samples, what is read for them, and what is kept in memory."""

import collections
import gc

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_deeplab as kd
from keras_deeplab.data.augmentation.epochs import ImageMemory, cache_if_small, shuffled_epochs
from keras_deeplab.data.elements import Elements, elements_of, note_elements

AMPLE, NONE = 10**6, 0


def numbered(size, by_index=False):
    """A dataset of 8-byte elements, and the list of those that were read."""
    reads = []

    def read(index):
        reads.append(int(index))
        return np.int32(index)

    def load(index):
        return tf.ensure_shape(tf.numpy_function(read, [index], tf.int32), []), tf.constant(0)

    dataset = tf.data.Dataset.range(size).map(load)
    if by_index:
        note_elements(dataset, Elements(8 * size, load))
    return dataset, reads


def drawn(dataset, count, *, start=0, memory=NONE, **options):
    """`(index, element)` of some draws."""
    stream = shuffled_epochs(dataset, 4, start, memory=ImageMemory(memory), **options)
    return [(int(index), int(element[0])) for index, element in stream.take(count)]


@pytest.mark.parametrize("by_index", [False, True])
@pytest.mark.parametrize("memory", [AMPLE, NONE])
def test_every_epoch_holds_each_element_once_in_an_order_of_its_own(memory, by_index):
    dataset, reads = numbered(10, by_index)
    found = drawn(dataset, 40, memory=memory, buffer=24)
    assert [index for index, _ in found] == list(range(40))
    epochs = [tuple(element for _, element in found[i : i + 10]) for i in range(0, 40, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len(set(epochs)) == 4
    assert (len(reads) == 10) if memory else (len(reads) >= 40)
    if not by_index:  # a buffer of three: an element comes at most two places early
        assert all(element <= place + 2 for epoch in epochs for place, element in enumerate(epoch))


@pytest.mark.parametrize("by_index", [False, True])
@pytest.mark.parametrize("memory", [AMPLE, NONE])
def test_later_epochs_start_without_reading_earlier_ones(memory, by_index):
    whole = drawn(numbered(10, by_index)[0], 40, memory=memory, buffer=24)
    dataset, reads = numbered(10, by_index)
    assert drawn(dataset, 4, start=34, memory=memory, buffer=24) == whole[34:38]
    assert len(reads) <= 12


@pytest.mark.parametrize("by_index", [False, True])
def test_the_order_does_not_depend_on_memory(by_index):
    """A run may be resumed while less memory is available."""
    with_memory, without = (
        drawn(numbered(10, by_index)[0], 30, memory=memory, buffer=24) for memory in (AMPLE, NONE)
    )
    assert with_memory == without


def test_files_beyond_memory_are_shuffled_as_a_whole(tmp_path):
    """Files sorted by name: place in the epoch and number of the file do not correlate."""
    for index in range(200):
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
            shape = (4, 4, 3) if folder == "images" else (4, 4)
            pixels = np.full(shape, index if folder == "images" else 0, np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{index:03}.png")
    dataset = kd.data.from_folder(tmp_path / "images", tmp_path / "masks", ["a", "b"])
    stream = shuffled_epochs(dataset, 0, 0, memory=ImageMemory(0), buffer=20 * 64)
    order = [int(image[0, 0, 0]) for _, (image, _) in stream.take(400)]
    for epoch in (order[:200], order[200:]):
        assert sorted(epoch) == list(range(200))
        assert abs(np.corrcoef(epoch, range(200))[0, 1]) < 0.3  # 4 deviations
    assert abs(np.corrcoef(order[:200], order[200:])[0, 1]) < 0.3


def test_a_worker_reads_only_its_samples():
    dataset, reads = numbered(12, by_index=True)
    own = drawn(dataset, 240)[1::3]
    reads.clear()
    found = drawn(dataset, 8, workers=3, is_own=lambda index: index % 3 == 1)
    assert found == own[:8]
    # Some are read ahead, in threads.
    later = collections.Counter(element for _, element in own[: len(reads) + 16])
    assert len(reads) >= 8 and collections.Counter(reads) <= later


def pairs_of_sizes(tmp_path, sizes):
    for index, size in enumerate(sizes):
        for folder, mode in (("images", "RGB"), ("masks", "L")):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.new(mode, size).save(tmp_path / folder / f"{index}.png")
    return tmp_path / "images", tmp_path / "masks", ["a", "b"]


def test_every_image_counts_not_only_the_first(tmp_path):
    folders = pairs_of_sizes(tmp_path, [(8, 8), (40, 30), (8, 20)])
    pixels = 8 * 8 + 40 * 30 + 8 * 20
    assert elements_of(kd.data.from_folder(*folders)).nbytes == 4 * pixels
    windows = kd.data.RandomWindows(size=6, count=50)
    assert elements_of(kd.data.from_folder(*folders, windows=windows)).nbytes == 50 * 36 * 4
    scaled = kd.data.from_folder(*folders, bands=(1, 2), value_range=(0, 200))
    assert elements_of(scaled).nbytes == 9 * pixels  # two bands of float32 and the label
    assert not ImageMemory(4 * pixels - 1).grants(kd.data.from_folder(*folders))
    assert ImageMemory(4 * pixels).grants(kd.data.from_folder(*folders))


def test_static_shapes_need_no_reading():
    images = np.zeros((5, 6, 7, 3), np.float32), np.zeros((5, 6, 7), np.uint8)
    assert elements_of(tf.data.Dataset.from_tensor_slices(images)).nbytes == 5 * 42 * 13


def test_datasets_share_the_memory():
    memory = ImageMemory(100)
    training, validation, small = (numbered(size, True)[0] for size in (8, 6, 4))
    assert memory.grants(training)  # 64 bytes
    assert cache_if_small(validation, memory=memory) is validation  # 48
    assert cache_if_small(small, memory=memory) is not small  # 32
    assert memory.grants(training) and not memory.grants(validation)
    del training
    gc.collect()
    assert memory.grants(numbered(7, True)[0])


def test_each_worker_needs_the_memory():
    assert ImageMemory(100).grants(numbered(10, True)[0])
    assert not ImageMemory(100).grants(numbered(10, True)[0], workers=2)


def test_elements_that_are_used_once_are_not_kept():
    dataset = tf.data.Dataset.range(3)
    note_elements(dataset, Elements(10, None, kept=False))
    assert not ImageMemory(1000).grants(dataset)
    again = tf.data.Dataset.range(3)
    assert ImageMemory(1000).grants(note_elements(again, Elements(10)))
