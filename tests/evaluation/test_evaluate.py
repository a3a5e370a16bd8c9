import numpy as np
import pytest
import tensorflow as tf
from evaluation import labelled
from rasters import write_raster
from reference import golden, golden_model
from toy import toy_predictor

import keras_deeplab as kd
from keras_deeplab.prediction.protocols import Protocol

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


def test_a_protocol_by_name_is_its_options():
    model = labelled.model()
    image, label = (
        np.tile(part, (12, 11) + (1,) * (part.ndim - 2)) for part in labelled.pairs(1)[0]
    )  # 576 x 616
    whole = kd.evaluate(model, [(image, label)], num_classes=3, protocol="whole_scene")
    windows = kd.predict(model, image, window=512, stride=384)
    expected = kd.metrics.SegmentationMetrics(3)
    expected.update(label, windows.argmax(-1))
    np.testing.assert_array_equal(whole.confusion, expected.confusion)


def test_small_images_grow_to_the_test_size(model, pairs):
    """As a patch at the edge of an iSAID image does in the reference."""
    image, label = pairs[1]  # 48 x 48
    fitted = kd.evaluate(
        model, [(image, label)], num_classes=6, protocol="published", test_size=(96, 96)
    )
    doubled = kd.evaluate(model, [(image, label)], num_classes=6, scales=(2.0,))
    np.testing.assert_array_equal(fitted.confusion, doubled.confusion)
    same = kd.evaluate(model, [(image, label)], num_classes=6)
    assert (fitted.confusion != same.confusion).any()


@pytest.mark.parametrize(
    "options",
    [
        {"protocol": "published", "flip": True},
        {"protocol": "published", "scales": (1.0, 1.5)},
        {"protocol": Protocol(flip=True), "test_size": (96, 96)},
    ],
)
def test_a_protocol_stands_alone(model, pairs, options):
    with pytest.raises(ValueError, match="cannot be combined with"):
        kd.evaluate(model, pairs, num_classes=6, **options)


def test_a_dark_tile_is_no_reason_to_stop(tmp_path):
    """A 16-bit file of which little is brighter than 1 of 255 within its value range."""
    rng = np.random.default_rng(0)
    for name, brightest in (("a_dark", 15), ("b_bright", 4000)):
        pixels = rng.integers(0, brightest, (40, 40, 3)).astype("uint16")
        write_raster(tmp_path / f"images/{name}.tif", pixels)
        write_raster(tmp_path / f"masks/{name}.tif", pixels.argmax(-1).astype("uint8"))
    images = kd.data.from_folder(
        tmp_path / "images", tmp_path / "masks", ["r", "g", "b"], value_range=(0, 4000)
    )
    darkest, _ = next(iter(images))
    assert 0 < darkest.numpy().max() < 1
    assert kd.evaluate(toy_predictor(), images).result()["mIoU"] == 1
    with pytest.raises(ValueError, match="rescale the image"):  # all of them are dark
        kd.evaluate(toy_predictor(), images.take(1))
    ranged = toy_predictor(value_range=(0, 4000))
    assert kd.evaluate(ranged, images.take(1)).result()["mIoU"] == 1
