"""Protocols: names, what they store, and the sizes of their views."""

import dataclasses
import json

import pytest
from reference import read

from keras_deeplab.data.datasets.registry import dataset_spec
from keras_deeplab.prediction.protocols import (
    PROTOCOLS,
    Protocol,
    get_protocol,
    named,
    parse_protocol,
)
from keras_deeplab.zoo.manifest import info, list_models


def test_the_published_protocols():
    assert list(PROTOCOLS) == ["published", "published_ms_flip", "whole_scene"]
    assert get_protocol("published") == Protocol("published", (1.0,), False)
    scales = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
    assert get_protocol("published_ms_flip") == Protocol("published_ms_flip", scales, True)
    whole = get_protocol("whole_scene", test_size=(896, 896))
    assert (whole.window, whole.stride, whole.test_size) == ((512, 512), (384, 384), None)
    with pytest.raises(ValueError, match="published, published_ms_flip, whole_scene, got 'best'"):
        get_protocol("best")


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_survives_json(name):
    protocol = get_protocol(name, test_size=(896, 512))
    assert parse_protocol(json.loads(json.dumps(protocol.to_json()))) == protocol


OF_MMSEGMENTATION = [name for name in list_models("r*") if "source" in info(name)]


@pytest.mark.parametrize("name", OF_MMSEGMENTATION)
def test_figures_of_the_source_have_the_protocol_of_their_data_set(name):
    test_size = dataset_spec(name.split("_")[1]).test_size
    for figure, protocol in (("mIoU", "published"), ("mIoU_ms_flip", "published_ms_flip")):
        stored = parse_protocol(info(name)["source"]["protocols"][figure])
        assert stored == get_protocol(protocol, test_size=test_size)


@pytest.mark.parametrize(
    ("test_size", "size", "scale", "expected"),
    [
        (None, (646, 797), 0.75, (485, 598)),  # 484.5 and 597.75, plus 0.5, cut off
        ((896, 896), (896, 896), 1.75, (1568, 1568)),
        ((896, 896), (300, 400), 1.0, (672, 896)),  # a patch at the edge grows
        ((896, 896), (300, 400), 0.5, (336, 448)),
        ((2048, 512), (1024, 1024), 1.0, (512, 512)),  # the shorter side decides
        ((2048, 512), (200, 1000), 1.0, (410, 2048)),  # the longer side decides
    ],
)
def test_sizes_of_views(test_size, size, scale, expected):
    assert Protocol(test_size=test_size).view_size(*size, scale) == expected


def test_sizes_of_views_are_the_references():
    case = read("tta/tta_flip.json")
    for variant in case["variants"].values():
        for view in variant["views"]:
            assert list(Protocol().view_size(96, 128, 1.0)) == view["network_input_hw"]


def test_a_protocol_is_found_by_what_it_does():
    published = get_protocol("published_ms_flip", test_size=(512, 512))
    assert named(dataclasses.replace(published, name="custom")) == published
    assert named(Protocol()).name == "published"
    assert named(Protocol(window=512, stride=384)).name == "whole_scene"
    assert named(Protocol(flip=True)).name == "custom"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "whole, at scale 1."),
        ({"scales": (0.5, 1), "flip": True}, "whole, at scales 0.5, 1, also mirrored."),
        ({"test_size": (896, 512)}, "whole, resized to fit 896 x 512, at scale 1."),
        ({"window": (64, 96)}, "by windows of 64 x 96 pixels every 48 x 72, at scale 1."),
    ],
)
def test_in_words(options, words):
    assert str(Protocol(**options)) == f"Each image is predicted {words}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": ()}, "one or more positive factors"),
        ({"scales": (1, 0)}, "one or more positive factors"),
        ({"stride": 32}, "needs a window"),
        ({"window": 0}, "window must be one or two positive integers, got 0"),
        ({"window": (64, 64, 64)}, "window must be one or two"),
        ({"window": 64, "stride": (64, 65)}, "must not exceed the window"),
        ({"test_size": 0.5}, "test_size must be one or two|not iterable"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Protocol(**options)
