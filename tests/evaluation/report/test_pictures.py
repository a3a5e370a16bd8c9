"""Pictures inside a report, read back from what a browser is given."""

import base64
import io

import numpy as np
import pytest
from evaluations import TABLE, calibration
from PIL import Image

from keras_deeplab.evaluation.report.panels import HATCHING, WRONG_COLOR, sample_panels
from keras_deeplab.evaluation.report.plots import plot_confusion, plot_reliability

BLUE = (74, 134, 192)  # of the bars
DARKEST = (8, 48, 107)  # of the confusion matrix: a share of 1


def opened(panel):
    """Pixels of a panel, int."""
    start, content = panel.uri.split(";base64,")
    with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
        assert start == f"data:image/{picture.format.lower()}"
        assert picture.size == (panel.width, panel.height)
        return np.asarray(picture.convert("RGB")).astype(int)


def drawn(plot, *values):
    file = io.BytesIO()
    plot(*values, file)
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("scale", [1, 4])
def test_panels_show_label_prediction_and_errors(scale):
    label = np.repeat(np.uint8([[0, 1, 2, 3, 255]]), 30, axis=0).repeat(40 * scale, axis=1)
    label = label.repeat(scale, axis=0)
    prediction = np.where(label == 2, 4, label).astype(np.uint8)
    prediction[label == 255] = 1
    image = np.full((*label.shape, 3), (200, 120, 40), np.uint8)
    panels = sample_panels(image, label, prediction, TABLE)
    assert [panel.kind for panel in panels] == ["image", "label", "prediction", "errors"]
    width = min(200 * scale, 320)
    assert {(panel.width, panel.height) for panel in panels} == {(width, round(0.15 * width))}
    places = (np.arange(5) + 0.5) * width / 5
    plain, labelled, predicted, errors = (
        opened(panel)[panel.height // 2, places.astype(int)] for panel in panels
    )
    np.testing.assert_allclose(plain, [(200, 120, 40)] * 5, atol=3)
    np.testing.assert_array_equal(labelled, [*TABLE.palette[:4], (128, 128, 128)])
    np.testing.assert_array_equal(predicted, [TABLE.palette[index] for index in (0, 1, 4, 3, 1)])
    np.testing.assert_array_equal(errors[2], WRONG_COLOR)
    right = errors[[0, 1, 3]]
    assert (right == right[0, 0]).all() and 190 < right[0, 0] < 250
    ignored = opened(panels[3])[:, width * 4 // 5 + 1 :].reshape(-1, 3)
    colors, counts = np.unique(ignored, axis=0, return_counts=True)
    np.testing.assert_array_equal(colors, HATCHING)
    np.testing.assert_allclose(counts / counts.sum(), (0.75, 0.25), atol=0.02)


def test_panels_mix_no_classes():
    label = np.random.default_rng(0).choice(np.uint8([0, 2]), (500, 500))
    image = np.zeros((500, 500, 3), np.uint8)
    panel = sample_panels(image, label, label, TABLE)[1]
    colors = np.unique(opened(panel).reshape(-1, 3), axis=0)
    np.testing.assert_array_equal(colors, [TABLE.palette[0], TABLE.palette[2]])


@pytest.mark.parametrize("size", [(2000, 3), (3, 2000), (1, 1)])
def test_panels_of_odd_pictures(size):
    label = np.zeros(size, np.uint8)
    for panel in sample_panels(np.zeros((*size, 3), np.uint8), label, label, TABLE):
        assert opened(panel).size and max(panel.width, panel.height) <= 320


def test_bars_are_as_high_as_accuracy():
    def area(accuracy):
        bins = [{**bin, "pixels": 9, "accuracy": accuracy} for bin in calibration()["bins"]]
        return (drawn(plot_reliability, bins) == BLUE).all(axis=-1).sum()

    assert area(0.25) > 1000
    assert area(0.5) / area(0.25) == pytest.approx(2, rel=0.03)
    assert area(None) == 0


def test_confusion_is_dark_where_pixels_went(tmp_path):
    confusion = np.diag([9, 9, 9])
    confusion[2] = (9, 0, 0)
    names = ["roof", "$\\frac{$", "a name that is longer than its place"]
    picture = drawn(plot_confusion, confusion, names)
    dark = (picture == DARKEST).all(axis=-1)
    rows, columns = (np.flatnonzero(dark.any(axis=axis)) for axis in (1, 0))
    dark = dark[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]  # nothing is in column 3
    shares = [
        [block.mean() for block in np.array_split(band, 2, axis=1)]
        for band in np.array_split(dark, 3)
    ]
    np.testing.assert_allclose(shares, [(1, 0), (0, 1), (1, 0)], atol=0.15)  # but for the numbers
    plot_confusion(confusion, names, tmp_path / "confusion.png")
    with Image.open(tmp_path / "confusion.png") as written:
        np.testing.assert_array_equal(np.asarray(written.convert("RGB")), picture)


def test_confusion_of_many_classes():
    names = [f"class {index}" for index in range(50)]
    assert max(drawn(plot_confusion, np.eye(50), names).shape) < 3200
