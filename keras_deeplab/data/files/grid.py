"""The one grid of windows: where they start, for tiles of a dataset and for prediction."""

from keras_deeplab._internal.errors import InputError


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """First pixels of the windows that cover one axis.

    The last window is moved back so that it ends with the axis, as mmsegmentation's sliding
    inference does.

    Args:
        length: Pixels of the axis.
        window: Pixels of a window.
        stride: Pixels from one start to the next, at most `window`.

    Returns:
        Increasing list of integers; `[0]` where the axis is no longer than a window.

    Raises:
        ValueError: When the stride would leave gaps.
    """
    if not 0 < stride <= window:
        raise InputError(
            f"Windows of {window} pixels need a stride of 1 to {window} pixels, got {stride}."
        )
    last = max(length - window, 0)
    return [*range(0, last, stride), last]


def count_windows(height: int, width: int, window: int, stride: int) -> int:
    """Number of square windows that cover an image."""
    return len(window_starts(height, window, stride)) * len(window_starts(width, window, stride))
