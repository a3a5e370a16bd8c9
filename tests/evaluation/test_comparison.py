"""Two models on the same images: differences, and intervals of a paired bootstrap."""

import json

import numpy as np
import pytest
from evaluation import labelled

import keras_deeplab as kd
from keras_deeplab.evaluation.comparison import compare
from keras_deeplab.prediction.protocols import Protocol
from keras_deeplab.runtimes.predictor import as_predictor

PLAIN, FLIP = Protocol(), Protocol(flip=True)


@pytest.fixture(scope="module")
def models():
    return [as_predictor(labelled.model(seed=seed)) for seed in (0, 1)]


def test_each_side_is_that_of_evaluate(models):
    pairs = labelled.pairs()
    found = compare([(models[0], PLAIN), (models[1], FLIP)], pairs, labelled.TABLE)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["images"] == len(pairs)
    for side, model, flip in (("first", models[0], False), ("second", models[1], True)):
        result = kd.evaluate(model, pairs, num_classes=3, flip=flip).result()
        assert found[side]["mIoU"] == result["mIoU"]
        assert found[side]["per_class"]["IoU"] == result["per_class"]["IoU"]
        assert found[side]["protocol"]["flip"] is flip
    difference = found["second"]["mIoU"] - found["first"]["mIoU"]
    assert found["difference"]["mIoU"]["low"] <= difference <= found["difference"]["mIoU"]["high"]


def test_a_model_does_not_differ_from_itself(models):
    names = iter("abcdef")  # read once
    found = compare([(models[0], PLAIN)] * 2, labelled.pairs(), labelled.TABLE, names=names)
    for entry in (found["difference"]["mIoU"], *found["difference"]["IoU"]):
        assert entry == {"low": 0.0, "high": 0.0, "share_positive": 0.0}


def test_pairing_narrows_the_interval(models):
    """Images differ more than the two views of them do."""
    found = compare([(models[0], PLAIN), (models[0], FLIP)], labelled.pairs(12), labelled.TABLE)
    paired = found["difference"]["mIoU"]
    alone = [np.ptp(bootstrap_interval(models[0], protocol)) for protocol in (PLAIN, FLIP)]
    assert paired["high"] - paired["low"] < 0.5 * min(alone)


def bootstrap_interval(model, protocol):
    from keras_deeplab.evaluation.assessment import assess

    assessment = assess(model, labelled.pairs(12), labelled.TABLE, protocol)
    return assessment.bootstrap.intervals()["mIoU"]


def test_errors_name_the_image(models):
    image, label = labelled.pairs(1)[0]
    with pytest.raises(ValueError, match="tile 7: Class values"):
        compare([(models[0], PLAIN)] * 2, [(image, label + 1)], labelled.TABLE, names=["tile 7"])
