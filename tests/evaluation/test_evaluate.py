import numpy as np
import pytest
import tensorflow as tf
from reference import golden, golden_model

import keras_deeplab as kd

SIZES = ((64, 80), (48, 48), (70, 50))


@pytest.fixture(scope="module")
def model():
    return golden_model(18)


@pytest.fixture(scope="module")
def pairs():
    return [
        (
            golden.make_image_u8(f"evaluate {index}", *size),
            golden.make_label(f"evaluate {index}", 1, *size, 6)[0].astype("uint8"),
        )
        for index, size in enumerate(SIZES)
    ]


@pytest.mark.parametrize("flip", [False, True])
def test_evaluate_counts_what_predict_says(model, pairs, flip):
    metrics = kd.evaluate(model, pairs, num_classes=6, scales=(0.75, 1.0), flip=flip)
    expected = kd.metrics.SegmentationMetrics(6)
    for image, label in pairs:
        probabilities = kd.predict(model, image, scales=(0.75, 1.0), flip=flip)
        expected.update(label, probabilities.argmax(-1))
    assert np.abs(metrics.confusion - expected.confusion).sum() <= 4  # near-ties
    assert metrics.confusion.sum() == sum((label != 255).sum() for _, label in pairs)


def test_batches_count_like_single_images(model):
    images = np.stack([golden.make_image_u8(f"batch {i}", 40, 40) for i in range(3)])
    labels = golden.make_label("batch", 3, 40, 40, 6).astype("uint8")
    dataset = tf.data.Dataset.from_tensor_slices((images, labels))
    single = kd.evaluate(model, dataset, num_classes=6)
    batched = kd.evaluate(model, dataset.batch(2), num_classes=6)
    np.testing.assert_array_equal(single.confusion, batched.confusion)


def test_small_images_are_named(model):
    pair = np.zeros((16, 40, 3), "uint8"), np.zeros((16, 40), "uint8")
    with pytest.raises(ValueError, match="height is 16 pixels"):
        kd.evaluate(model, [pair], num_classes=6)
