"""Words that the checks share."""

from __future__ import annotations

from collections.abc import Sequence

_LISTED = 5


def some(names: Sequence[str]) -> str:
    """The first few of a list, and how many more there are."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
