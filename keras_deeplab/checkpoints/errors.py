"""The exception of all code that reads weights."""


class CheckpointError(ValueError):
    """An invalid or mismatching weights file or state dict; says what is wrong and where."""
