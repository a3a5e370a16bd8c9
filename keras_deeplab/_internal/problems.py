"""Many problems in one error."""

MOST_LISTED = 10  # problems an error spells out before it counts the rest


def raise_problems(summary, problems):
    """Raises a `ValueError` that lists problems under a summary; does nothing without any.

    Args:
        summary: What they have in common.
        problems: Iterable of texts; `None` and empty ones do not count.
    """
    problems = [problem for problem in problems if problem]
    if problems:
        raise ValueError(f"{summary[0].upper()}{summary[1:]}:{listing(problems)}")


def listing(lines):
    """The lines one below the other, indented; from the eleventh on only their number."""
    lines = list(lines)
    shown = "".join(f"\n  {line}" for line in lines[:MOST_LISTED])
    rest = len(lines) - MOST_LISTED
    return f"{shown}\n  ... and {rest} more" if rest > 0 else shown
