"""The exception of all code that reads weights."""

from keras_deeplab._internal.errors import InputError


class CheckpointError(InputError):
    """An invalid or mismatching weights file or state dict; says what is wrong and where."""
