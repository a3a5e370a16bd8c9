"""The grid of windows against mmsegmentation's formula and by what it must cover."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_deeplab.data.files.grid import count_windows, window_starts


def reference_starts(length, window, stride):
    """As `EncoderDecoder.slide_inference` of mmsegmentation computes them."""
    count = max(length - window + stride - 1, 0) // stride + 1
    return [max(min(index * stride + window, length) - window, 0) for index in range(count)]


@given(st.integers(1, 400), st.integers(1, 100), st.data())
def test_windows_cover_the_axis_as_the_reference_has_them(length, window, data):
    stride = data.draw(st.integers(1, window))
    starts = window_starts(length, window, stride)
    assert starts == reference_starts(length, window, stride)
    covered = {pixel for start in starts for pixel in range(start, start + window)}
    assert set(range(length)) <= covered
    assert max(starts) + window <= max(length, window)


def test_windows_of_an_image():
    assert window_starts(9, 4, 2) == [0, 2, 4, 5]
    assert window_starts(100, 512, 512) == [0]
    assert count_windows(9, 100, 4, 2) == 4 * 49


def test_a_stride_over_the_window_would_leave_gaps():
    with pytest.raises(ValueError, match="need a stride of 1 to 4 pixels, got 5"):
        window_starts(9, 4, 5)
