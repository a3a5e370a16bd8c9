"""Resizing equals TensorFlow's, to whose logits the runtimes are compared."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from keras_deeplab.runtimes.resize import resize_bilinear

SIZES = (1, 2, 13, 32, 47)
rng = np.random.default_rng(0)


@pytest.mark.parametrize("size", list(itertools.product(SIZES, SIZES)))
def test_equals_tensorflow(size):
    for shape in ((13, 16), (32, 7), (47, 47)):
        array = rng.normal(size=(2, *shape, 3)).astype("float32")
        resized = resize_bilinear(array, size)
        assert resized.dtype == np.float32
        np.testing.assert_allclose(resized, tf.image.resize(array, size), rtol=0, atol=1e-5)
        np.testing.assert_array_equal(resize_bilinear(array[0], size), resized[0])


def test_a_line_is_sampled_at_pixel_centres():
    """Computed on paper; beyond the outer centres the edge is repeated."""
    line = np.array([0, 4, 8, 12], "float32").reshape(1, 4, 1)
    np.testing.assert_array_equal(resize_bilinear(line, (1, 8)).ravel(), [0, 1, 3, 5, 7, 9, 11, 12])
    np.testing.assert_array_equal(resize_bilinear(line, (1, 2)).ravel(), [2, 10])


def test_the_input_is_left_alone():
    array = rng.normal(size=(1, 8, 9, 2)).astype("float32")
    before = array.copy()
    for size in ((8, 9), (8, 5), (16, 9), (4, 18)):
        resize_bilinear(array, size)
        np.testing.assert_array_equal(array, before)


def test_the_same_size_is_no_copy():
    array = np.zeros((1, 8, 9, 2), "float32")
    assert resize_bilinear(array, (8, 9)) is array
