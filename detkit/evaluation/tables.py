"""Numbers as text, and as JSON."""

from __future__ import annotations

import math


def shown(value) -> str:
    """A number with three decimals, a whole one as it is; a dash where it is undefined (negative, or NaN)."""
    if isinstance(value, int):
        return str(value)
    return f"{value:.3f}" if value >= 0 else "-"


def for_json(value):
    """The same with None for NaN, which JSON does not know."""
    if isinstance(value, dict):
        return {key: for_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [for_json(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
