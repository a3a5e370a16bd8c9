"""Samples and batches: seeds, workers, threads."""

import inspect

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import as_dataset, painted, picture

from keras_deeplab.data.augmentation.batches import augment, training_batches
from keras_deeplab.models.inputs import input_statistics
from keras_deeplab.models.layers import ImageInput

PAIRS = [picture(i, 40 + i, 60) for i in range(5)]


def batches(count, batch_size=2, threads=None, **options):
    stream = training_batches(as_dataset(PAIRS), batch_size=batch_size, crop=32, **options)
    if threads:
        with_threads = tf.data.Options()
        with_threads.threading.private_threadpool_size = threads
        with_threads.autotune.enabled = threads > 1
        stream = stream.with_options(with_threads)
    return [(x.numpy(), y.numpy()) for x, y in stream.take(count)]


def assert_same(some, others):
    for (x, y), (x2, y2) in zip(some, others, strict=True):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    seed=st.tuples(st.integers(0, 2**31), st.integers(0, 2**31)),
    rotate=st.booleans(),
    base_size=st.sampled_from([None, (64, 32)]),
)
def test_labels_hold_only_original_values_and_ignore(height, width, seed, rotate, base_size):
    image, label = picture(seed[0], height, width)
    new_image, new_label = augment(image, label, seed, crop=48, rotate=rotate, base_size=base_size)
    assert new_image.shape == (48, 48, 3) and new_image.dtype == tf.uint8
    assert new_label.shape == (48, 48) and new_label.dtype == tf.uint8
    assert set(np.unique(new_label)) <= set(np.unique(label)) | {255}


def test_labels_follow_the_image():
    """With the class painted as brightness, class and brightness agree after augmentation."""
    image, label = painted(5, 90, 120)
    agreements = []
    for index in range(20):
        new_image, new_label = (x.numpy() for x in augment(image, label, [9, index], crop=64))
        valid = new_label != 255
        bright = new_image.mean(-1) > 80
        agreements.append((bright == (new_label == 1))[valid].mean())
    assert min(agreements) > 0.85  # bilinear edges blur; a wrong flip or turn would give a half


@pytest.mark.parametrize("bands", [3, 4, 1])
def test_floats_and_any_number_of_bands(bands):
    label = np.zeros((20, 20), np.uint8)
    image = np.random.default_rng(0).uniform(0, 255, (20, 20, bands)).astype(np.float32)
    new_image, new_label = augment(image, label, [1, 2], crop=48, scale_range=(1, 1))
    assert new_image.dtype == tf.float32 and new_image.shape == (48, 48, bands)
    inside = new_image.numpy()[new_label.numpy() == 0]
    assert (inside % 1 != 0).mean() > 0.5  # not rounded
    assert inside.min() >= 0 and inside.max() <= 255


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_network_sees_padding_as_zero(bands, dtype):
    """As that of the reference, which pads after its normalisation; uint8 is rounded."""
    image, label = np.zeros((20, 20, bands), dtype), np.zeros((20, 20), np.uint8)
    padded, _ = augment(image, label, [1, 2], crop=48, scale_range=(1, 1))
    network = ImageInput(*input_statistics(bands))
    seen = np.asarray(network(padded[np.newaxis]))[0, -1, -1]
    assert np.abs(seen).max() < (0.009 if dtype == "uint8" else 1e-6)
    exact = [123.675, 116.28, 103.53, 114.495]  # a further band, or each of fewer than three
    exact = exact[:bands] if bands >= 3 else exact[3:] * bands
    np.testing.assert_allclose(
        padded[-1, -1], np.rint(exact) if dtype == "uint8" else exact, rtol=1e-6
    )


def test_padding_has_the_mean_of_the_network():
    image, label = np.zeros((20, 20, 3), "uint8"), np.zeros((20, 20), np.uint8)
    means = (127.0, 100.4, 20.0)
    padded, _ = augment(image, label, [1, 2], crop=48, scale_range=(1, 1), mean=means)
    np.testing.assert_array_equal(padded[-1, -1], np.rint(means))


@pytest.mark.long
def test_batches_depend_on_seed_and_step_alone():
    tf.random.set_seed(1)
    whole = batches(9, seed=7)
    tf.random.set_seed(2)
    assert_same(whole, batches(9, seed=7))
    assert_same(whole[5:], batches(4, seed=7, start_step=5))
    assert not np.array_equal(whole[0][0], batches(1, seed=8)[0][0])
    assert not np.array_equal(whole[0][0], whole[5][0])


def test_batches_do_not_depend_on_threads():
    assert_same(batches(6, threads=1), batches(6, threads=8))


def test_workers_share_the_batches_of_one():
    whole = batches(4, batch_size=6, seed=3)
    shared = [batches(4, batch_size=6, seed=3, workers=3, worker=worker) for worker in range(3)]
    joined = [
        tuple(np.concatenate(parts) for parts in zip(*batch, strict=True))
        for batch in zip(*shared, strict=True)
    ]
    assert_same(whole, joined)
    assert_same(shared[1][2:], batches(2, batch_size=6, seed=3, workers=3, worker=1, start_step=2))


@pytest.mark.parametrize("workers, worker", [(4, 0), (2, 2), (2, -1)])
def test_workers_that_cannot_share_are_an_error(workers, worker):
    with pytest.raises(ValueError, match=f"Worker {worker} of {workers} .* batches of 6"):
        batches(1, batch_size=6, workers=workers, worker=worker)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda dataset: dataset.repeat(), r"endless: leave out repeat\(\)"),
        (lambda dataset: dataset.filter(lambda *_: True), r"unknown: .*assert_cardinality\(count"),
        (lambda dataset: dataset.take(0), "is empty"),
        (lambda dataset: dataset.padded_batch(2), "must be .* unbatched .* they are"),
        (lambda dataset: dataset.map(lambda image, _: image), "must be .image, label. of shapes"),
        (lambda dataset: dataset.map(lambda *pair: {"pair": pair}), "must be"),
        (lambda dataset: dataset.map(lambda a, b: (a, b[..., None])), r"label. of .* \(height, w"),
        (lambda dataset: dataset.map(lambda a, b: (tf.cast(a, "uint16"), b)), "are uint16 and"),
        (lambda dataset: dataset.map(lambda a, b: (a, tf.cast(b, "float32"))), "and float32. Sc"),
    ],
)
def test_a_dataset_without_size_or_pairs_is_an_error(change, message):
    with pytest.raises(ValueError, match=message):
        training_batches(change(as_dataset(PAIRS)), batch_size=2, crop=32)


def test_the_recipe_knows_every_augmentation():
    """What `augment` takes can be said in a `Recipe`; the mean is the network's."""
    import dataclasses

    from keras_deeplab.training.recipe import Recipe

    fields = {field.name: field.default for field in dataclasses.fields(Recipe)}
    for parameter in inspect.signature(augment).parameters.values():
        if parameter.default is not parameter.empty and parameter.name != "mean":
            assert fields[parameter.name] == parameter.default
