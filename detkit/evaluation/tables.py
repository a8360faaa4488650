"""Numbers as text in columns."""

from __future__ import annotations


def shown(value) -> str:
    """A number with three decimals, a whole one as it is; a dash where it is undefined (negative, or NaN)."""
    if isinstance(value, int):
        return str(value)
    return f"{value:.3f}" if value >= 0 else "-"


def aligned(rows: list[list[str]]) -> str:
    """Rows of text in columns: the first to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *rest in rows:
        cells = [text.rjust(width) for text, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)
