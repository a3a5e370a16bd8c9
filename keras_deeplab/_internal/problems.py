"""Several problems in one error."""

from collections.abc import Iterable

from keras_deeplab._internal.errors import InputError

MOST_LISTED = 10  # problems that an error lists before it only counts the rest


def raise_problems(summary: str, problems: Iterable[str | None]) -> None:
    """Raises a `ValueError` that lists problems under a summary; does nothing if there are none.

    Args:
        summary: What the problems have in common, the beginning of the message.
        problems: `None` and empty strings are skipped.
    """
    found = [problem for problem in problems if problem]
    if found:
        raise InputError(f"{summary}:{listing(found)}")


def listing(lines: Iterable[object]) -> str:
    """The lines, indented, one per line; after the first ten only the number of the others."""
    lines = list(lines)
    shown = "".join(f"\n  {line}" for line in lines[:MOST_LISTED])
    rest = len(lines) - MOST_LISTED
    return f"{shown}\n  ... and {rest} more" if rest > 0 else shown
