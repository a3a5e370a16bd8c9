"""The one exception of everything that reads weights."""


class CheckpointError(ValueError):
    """A weights file or state dict that does not fit, with what is wrong and where."""
