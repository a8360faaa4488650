"""The message of a protobuf text file without its schema: an ordered list of named values."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from detkit.errors import ConfigError

IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_DOTTED = r"[A-Za-z_][\w-]*(\.[\w-]+)*"
NAME = re.compile(rf"[A-Za-z_]\w*|\[{_DOTTED}(/{_DOTTED})?\]", re.ASCII)
TRUE, FALSE = ("true", "True", "t"), ("false", "False", "f")
NOT_FINITE = ("inf", "infinity", "nan")
_SHOWN = 100  # characters of an offending line


class Enum(str):
    """An enum value, written without quotes: `Enum("RELU_6")` equals the str `"RELU_6"`.

    Raises:
        ConfigError: if the text isn't an identifier, or is one that reads back as a bool or a float.
    """

    __slots__ = ()

    def __new__(cls, name: str) -> Enum:
        reserved = name in TRUE + FALSE or name.lower() in NOT_FINITE
        if reserved or not IDENTIFIER.fullmatch(name):
            raise ConfigError("This can't name an enum value.", got=repr(name), expected="an identifier")
        return super().__new__(cls, name)


@dataclass(frozen=True)
class Source:
    """A text and what to call it in messages."""

    name: str
    text: str

    @cached_property
    def _starts(self) -> list[int]:
        return [0] + [match.end() for match in re.finditer("\n", self.text)]

    def position(self, offset: int) -> tuple[int, int]:
        """The one-based line and column of a character."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def where(self, offset: int) -> str:
        """`name:line:column`, the line itself and a caret below the character."""
        line, column = self.position(offset)
        text = self.text[self._starts[line - 1] :].split("\n", 1)[0].rstrip("\r")
        first = max(0, column - _SHOWN)
        shown = "".join(c if c.isprintable() else " " for c in text[first : first + _SHOWN + 20])
        return f"{self.name}:{line}:{column}\n    {shown}\n    {' ' * (column - 1 - first)}^"


@dataclass(frozen=True)
class Field:
    """One field of a message: its name, its value, and its place in the text if it was read from one."""

    name: str
    value: Message | bool | int | float | str
    source: Source | None = field(default=None, compare=False, repr=False)
    offset: int = field(default=0, compare=False, repr=False)

    def __post_init__(self):
        if not NAME.fullmatch(self.name):
            raise ConfigError("This can't name a field.", got=repr(self.name), expected="an identifier")
        whole = isinstance(self.value, int) and not isinstance(self.value, bool)
        if whole and not -(2**63) <= self.value < 2**64:
            raise ConfigError("An integer has more than 64 bits.", where=self.name, got=self.value)
        if not isinstance(self.value, Message | bool | int | float | str):
            raise ConfigError(
                "A field can't hold this value.",
                where=self.name,
                got=repr(self.value),
                expected="a Message, bool, int, float, str or Enum",
            )

    def __eq__(self, other) -> bool:
        if not isinstance(other, Field):
            return NotImplemented
        if self.name != other.name or type(self.value) is not type(other.value):
            return False
        both_nan = isinstance(self.value, float) and math.isnan(self.value) and math.isnan(other.value)
        return both_nan or self.value == other.value

    __hash__ = None

    @property
    def line(self) -> int | None:
        """The one-based line of the field's name."""
        return self.source.position(self.offset)[0] if self.source else None

    @property
    def column(self) -> int | None:
        """The one-based column of the field's name."""
        return self.source.position(self.offset)[1] if self.source else None

    @property
    def where(self) -> str:
        """`file:line:column`, the line and a caret, for error messages; the name if it was not read."""
        return self.source.where(self.offset) if self.source else self.name


class Message:
    """An ordered list of fields; a repeated field stands in it more than once.

    Equality is that of names, values and their types, in order; places don't count.

    Example:
        >>> item = Message([("id", 1), ("name", "duck")])
        >>> item.get("name")
        'duck'
    """

    def __init__(self, fields: Iterable[Field | tuple] = ()):
        self.fields = [f if isinstance(f, Field) else Field(*f) for f in fields]

    def get(self, name: str, default=None):
        """The value of a field, the last one if there are several; `default` if there is none."""
        return next((f.value for f in reversed(self.fields) if f.name == name), default)

    def all(self, name: str) -> list:
        """The values of every field of this name."""
        return [f.value for f in self.fields if f.name == name]

    def field(self, name: str) -> Field | None:
        """The (last) field of this name, with its place."""
        return next((f for f in reversed(self.fields) if f.name == name), None)

    def locate(self, path: str) -> Field | None:
        """The field at a dotted path such as `model.ssd.num_classes`."""
        first, _, rest = path.partition(".")
        found = self.field(first)
        if not rest or found is None:
            return found
        return found.value.locate(rest) if isinstance(found.value, Message) else None

    def find(self, path: str, default=None):
        """The value at a dotted path such as `model.ssd.num_classes`."""
        found = self.locate(path)
        return default if found is None else found.value

    def add(self, name: str, value) -> None:
        """Append a field."""
        self.fields.append(Field(name, value))

    def set(self, name: str, value) -> None:
        """Give a field this value where it stands (or at the end); a list or tuple gives a repeated field."""
        values = value if isinstance(value, list | tuple) else [value]
        old = [i for i, f in enumerate(self.fields) if f.name == name]
        at = old[0] if old else len(self.fields)
        before, after = self.fields[:at], [f for f in self.fields[at:] if f.name != name]
        self.fields = before + [Field(name, v) for v in values] + after

    def remove(self, name: str) -> None:
        """Remove every field of this name."""
        self.fields = [f for f in self.fields if f.name != name]

    def message(self, name: str) -> Message:
        """The (last) message of this name, added empty if there is none.

        Raises:
            ConfigError: if the field holds a scalar.
        """
        if name not in self:
            self.add(name, Message())
        found = self.field(name)
        if not isinstance(found.value, Message):
            raise ConfigError(f"{name} is not a message.", where=found.where, got=repr(found.value))
        return found.value

    def copy(self) -> Message:
        """A copy that shares no message with this one; places are kept."""
        copied = ((f.value.copy() if isinstance(f.value, Message) else f.value, f) for f in self.fields)
        return Message(Field(f.name, value, f.source, f.offset) for value, f in copied)

    def __contains__(self, name: str) -> bool:
        return any(f.name == name for f in self.fields)

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __eq__(self, other) -> bool:
        return self.fields == other.fields if isinstance(other, Message) else NotImplemented

    __hash__ = None

    def __repr__(self) -> str:
        return f"Message([{', '.join(f'({f.name!r}, {f.value!r})' for f in self.fields)}])"
