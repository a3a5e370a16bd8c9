"""The predictions behind every evaluation: order, names, sharing, memory."""

import itertools

import numpy as np
import pytest
from evaluation import labelled

import keras_deeplab as kd
from keras_deeplab.evaluation.predictions import on_devices, predictions
from keras_deeplab.prediction.protocols import Protocol
from keras_deeplab.runtimes.keras_runtime import logits_function
from keras_deeplab.runtimes.predictor import as_predictor

FLIP = Protocol(scales=(0.75, 1.0), flip=True)


@pytest.fixture(scope="module")
def model():
    return labelled.model()


def test_views_are_those_of_predict(model):
    pairs = labelled.pairs(2)
    for (image, label), made in zip(
        pairs, predictions(as_predictor(model), pairs, FLIP), strict=True
    ):
        assert made.label is label
        for flip, probabilities in zip((False, True), made.views, strict=True):
            expected = kd.predict(model, image, scales=(0.75, 1.0), flip=flip)
            np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-5)


def test_mirrored_views_change_nothing_of_the_others(model):
    """To the last bit: validation in training reports both, `evaluate` one of them."""
    pairs = labelled.pairs(3)
    plain = predictions(as_predictor(model), pairs, Protocol(scales=(0.75, 1.0)))
    for alone, both in zip(plain, predictions(as_predictor(model), pairs, FLIP), strict=True):
        np.testing.assert_array_equal(alone.views[0], both.views[0])


def test_one_image_at_a_time_is_read(model):
    read = []

    def images():
        for number in itertools.count():  # without end
            read.append(number)
            yield labelled.pairs(1)[0]

    for made in itertools.islice(predictions(as_predictor(model), images(), Protocol()), 3):
        assert read == list(range(made.index + 1))


def test_workers_share_and_devices_keep_the_order(model):
    pairs = labelled.pairs(5)
    names = list("abcde")
    alone = list(predictions(as_predictor(model), pairs, Protocol(), names=names))
    assert [(made.index, made.name) for made in alone] == list(enumerate(names))
    shared = [
        list(
            predictions(
                *(as_predictor(model), pairs, Protocol()),
                names=names,
                workers=2,
                worker=worker,
                devices=("CPU:0", "CPU:0"),
            )
        )
        for worker in range(2)
    ]
    assert [[made.name for made in part] for part in shared] == [["a", "c", "e"], ["b", "d"]]
    for made in itertools.chain(*shared):
        np.testing.assert_allclose(made.views[0], alone[made.index].views[0], atol=1e-5)


def test_devices_take_as_many_images_as_they_are():
    read = []
    items = (read.append(number) or number for number in itertools.count())
    for number in itertools.islice(on_devices(str, items, ("CPU:0", "CPU:0")), 4):
        assert len(read) <= int(number) + 3


def test_one_trace_serves_every_size_scale_and_window():
    model = labelled.model(seed=1)
    for protocol in (FLIP, Protocol(), Protocol(window=32, stride=24)):
        list(predictions(as_predictor(model), labelled.pairs(3), protocol))
    compiled = logits_function(model).__closure__[0].cell_contents
    assert compiled.experimental_get_tracing_count() == 1


def test_errors_name_the_image(model):
    image, label = labelled.pairs(1)[0]
    good = (image, label)
    for bad, message in (
        ((image[:20], label[:20]), "image 1: Image height is 20 pixels"),
        ((image[..., :2], label), r"image 1: Expected an image of shape .* got \(48, 56, 2\)"),
        ((image, label[:-1]), r"image 1: Labels \(47, 56\) and predictions \(48, 56\) differ"),
        ((image, label % 8 + 3), r"image 1: Class values .* in a label are outside 0\.\.2"),
    ):
        with pytest.raises(ValueError, match=message):
            kd.evaluate(model, [good, bad], num_classes=3)
    with pytest.raises(ValueError, match=r"roofs/7.png: Image height"):
        list(
            predictions(
                as_predictor(model), [(image[:20], label)], Protocol(), names=["roofs/7.png"]
            )
        )
    with pytest.raises(ValueError, match="longer"):
        list(predictions(as_predictor(model), [good, good], Protocol(), names=["one"]))
