"""Suggestions for misspelt names."""

import difflib
from collections.abc import Iterable


def hint(name: str, names: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the nearest of the names, or nothing if none is near."""
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""


def choices(name: str, names: Iterable[str]) -> str:
    """The nearest of the names, or all of them if none is near, as the end of a message."""
    known = sorted(names)
    return hint(name, known) or f"; there is {', '.join(known) or 'nothing'}"
