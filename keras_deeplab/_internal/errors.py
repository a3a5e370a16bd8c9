"""The error of this package that people can correct."""


class InputError(ValueError):
    """A wrong option, file or value: the message says what is wrong, where, and what to do.

    The commands show it in one line. Every other `ValueError` is a fault of the program, and keeps
    its traceback.
    """
