"""What a field of a configuration dataclass may hold: declared once, checked for every source of values."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from typing import Any, NamedTuple

_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
_LIMITS = {"above": "above", "at_least": "of at least", "below": "below", "at_most": "at most"}


def option(default, **metadata):
    """A dataclass field with limits for its value (for each value, if it is a tuple).

    Args:
        default: the value when none is given.
        metadata: `above`, `at_least`, `below`, `at_most` for numbers; `choices` for words; `help`, the
            sentence that documents the field; `expects`, its values in words where limits can't say it;
            `path`, whether it names a file; `convert`, a function of a value and its dotted path that
            replaces the checks.
    """
    return dataclasses.field(default=default, metadata=metadata)


def choice(default: str, *choices: str, **metadata):
    """A dataclass field that holds one of the named words."""
    return option(default, choices=choices, **metadata)


class Spec(NamedTuple):
    """One field of a dataclass: the type of a single value, whether it is a tuple of them or may be None."""

    kind: Any
    repeated: bool
    optional: bool
    metadata: Any

    @property
    def expected(self) -> str:
        """The values it takes, in words."""
        if "expects" in self.metadata:
            return self.metadata["expects"]
        if "choices" in self.metadata:
            return f"one of {', '.join(self.metadata['choices'])}"
        if "at_least" in self.metadata and "at_most" in self.metadata:
            return f"{_NAMES[self.kind]} from {self.metadata['at_least']} to {self.metadata['at_most']}"
        given = [f"{word} {self.metadata[key]}" for key, word in _LIMITS.items() if key in self.metadata]
        return " ".join([_NAMES.get(self.kind, "a message"), " and ".join(given)]).strip()

    def accepts(self, value) -> bool:
        """Whether this single value has the right type and is within the limits; an int is a float too."""
        if isinstance(value, bool) or self.kind is bool:
            return isinstance(value, bool) and self.kind is bool
        right_type = isinstance(value, (int, float) if self.kind is float else self.kind)
        return right_type and self._within(value)

    def _within(self, value) -> bool:
        limits = self.metadata
        if "choices" in limits:
            return value in limits["choices"]
        if self.kind not in (int, float):
            return True
        lower = value > limits.get("above", -math.inf) and value >= limits.get("at_least", -math.inf)
        return lower and value < limits.get("below", math.inf) and value <= limits.get("at_most", math.inf)


@cache
def specs(cls: type) -> dict[str, Spec]:
    """The specification of every field of a dataclass, by name."""
    hints = typing.get_type_hints(cls)
    return {field.name: _spec(hints[field.name], field.metadata) for field in dataclasses.fields(cls)}


def _spec(hint, metadata) -> Spec:
    optional = False
    if isinstance(hint, types.UnionType):
        optional = type(None) in typing.get_args(hint)
        hint = next(arg for arg in typing.get_args(hint) if arg is not type(None))
    if repeated := typing.get_origin(hint) is tuple:
        hint = typing.get_args(hint)[0]
    return Spec(hint, repeated, optional, metadata)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The advice that names what was probably meant, None if nothing comes near."""
    found = get_close_matches(str(name), list(names), 1, 0.6)
    return f"Did you mean {found[0]}?" if found else None
