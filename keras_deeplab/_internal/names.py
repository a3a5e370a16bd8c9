"""Names of things: natural order, globs, and what to say of a misspelt one."""

import difflib
import fnmatch
import re


def natural_key(name):
    """Sort key that puts `r18` before `r101`."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def match_names(names, pattern):
    """Names that match a glob, in natural order."""
    return sorted(fnmatch.filter(names, pattern), key=natural_key)


def unknown_name(kind, name, known):
    """A `ValueError` for a misspelt name, with the nearest known ones."""
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.4)
    hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else ""
    listing = ", ".join(sorted(known, key=natural_key))
    return ValueError(f"Unknown {kind} {name!r}. {hint} Known: {listing}".replace("  ", " "))
