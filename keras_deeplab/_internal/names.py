"""Names: natural sort order, globs, and the error for a misspelt name."""

import difflib
import fnmatch
import re
from collections.abc import Collection, Iterable

from keras_deeplab._internal.errors import InputError


def natural_key(name: str) -> list[int | str]:
    """Sort key that puts `r18` before `r101`."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def match_names(names: Iterable[str], pattern: str) -> list[str]:
    """Names that match a glob, in natural order."""
    return sorted(fnmatch.filter(names, pattern), key=natural_key)


def unknown_name(kind: str, name: object, known: Collection[str]) -> InputError:
    """A `ValueError` for a misspelt name, with the closest known ones."""
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.4)
    hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else ""
    listing = ", ".join(sorted(known, key=natural_key))
    return InputError(f"Unknown {kind} {name!r}. {hint} Known: {listing}".replace("  ", " "))
