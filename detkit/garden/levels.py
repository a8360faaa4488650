"""Maps of several levels, which Model Garden keeps as {level: map}, as entries of a state."""

from __future__ import annotations


def named(name: str, maps: dict) -> dict:
    """{level: map} as entries "NAME/LEVEL"."""
    return {f"{name}/{level}": x for level, x in maps.items()}


def levels_of(state: dict, name: str) -> dict:
    """{level: map} of the entries "NAME/LEVEL"."""
    return {path.partition("/")[2]: x for path, x in state.items() if path.startswith(f"{name}/")}
