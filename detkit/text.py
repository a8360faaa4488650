"""Lists and tables as text, for messages and terminals."""

from __future__ import annotations

from collections.abc import Sequence

_LISTED = 5


def some(names: Sequence[str], most: int = _LISTED) -> str:
    """The first few of a list, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def counted(n: int, noun: str, plural: str | None = None) -> str:
    """A number and what it counts: "1 class", "2 classes"."""
    return f"{n} {noun if n == 1 else plural or noun + 's'}"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equal length in columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *rest in rows:
        cells = [text.rjust(width) for text, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)
