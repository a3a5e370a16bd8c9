"""Sensor augmentation against SciPy's blur, and what it must leave alone."""

import numpy as np
import pytest
import tensorflow as tf
from pictures import as_dataset, painted
from scipy import ndimage

from keras_deeplab.data.augmentation import sensor
from keras_deeplab.data.augmentation.batches import training_batches


def draw(image, seeds):
    sample = tf.function(lambda seed: sensor.random_sensor(image, seed))
    return [sample(tf.constant([index, 4])).numpy() for index in seeds]


def test_blur_is_scipys():
    image = np.random.default_rng(0).uniform(0, 255, (30, 23, 3)).astype("float32")
    found = sensor.gaussian_blur(tf.constant(image), tf.constant(1.2))
    expected = ndimage.gaussian_filter(
        image, (1.2, 1.2, 0), mode="mirror", radius=(sensor.RADIUS, sensor.RADIUS, 0)
    )
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("bands, dtype", [(3, "uint8"), (3, "float32"), (4, "uint8")])
def test_images_keep_type_and_range_and_stay_similar(bands, dtype):
    image = np.stack([painted(3, 64, 48)[0][..., 0]] * bands, -1).astype(dtype)
    samples = draw(tf.constant(image), range(40))
    assert all(sample.shape == image.shape and sample.dtype == dtype for sample in samples)
    assert all(sample.min() >= 0 and sample.max() <= 255 for sample in samples)
    correlations = [np.corrcoef(sample.ravel(), image.ravel())[0, 1] for sample in samples]
    assert min(correlations) > 0.85
    assert 0 < sum(np.allclose(sample, image, atol=1e-3) for sample in samples) < 12
    assert max(sample.mean() for sample in samples) > image.mean() + 5
    assert min(sample.mean() for sample in samples) < image.mean() - 5


def test_batches_repeat_and_keep_their_labels():
    image, label = painted(3, 64, 64)
    arguments = {"batch_size": 4, "crop": 32, "seed": 5, "rotate": False}
    published, first, again = (
        next(iter(training_batches(as_dataset([(image, label)]), augmentation=kind, **arguments)))
        for kind in ("published", "sensor", "sensor")
    )
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], published[1])
    assert np.any(first[0] != published[0])
