"""From an untyped protobuf message to a typed dataclass, with every mistake located in the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import ClassVar, TypeVar

from detkit.errors import ConfigError
from detkit.pipeline.fields import Spec, nearest, specs
from detkit.pipeline.message import Enum, Field, Message

T = TypeVar("T", bound="Section")


class Section:
    """A typed message: a frozen dataclass whose attributes have the names and defaults of the proto's fields.

    A message that the text doesn't hold is None, a repeated field is a tuple, an enum is a str.
    """

    ONE_OF: ClassVar[tuple[str, ...]] = ()  # groups of fields of which one may be given, separated by spaces
    ORDERED: ClassVar[tuple[str, ...]] = ()  # pairs of which the first may not exceed the second
    IGNORED: ClassVar[str] = ""  # fields of the proto, or of its older versions, without effect here


def build(cls: type[T], message: Message, path: str = "") -> T:
    """The typed form of a message.

    Args:
        cls: a dataclass derived from `Section`.
        message: what was read.
        path: the dotted path of the message, for error messages.

    Raises:
        ConfigError: with its place, for an unknown or repeated field and a wrong type or value.
    """
    values: dict[str, list] = {}
    for field, spec in _known(cls, message, path):
        values.setdefault(field.name, []).append(_typed(field, spec, join(path, field.name)))
        if len(values[field.name]) > 1 and not spec.repeated:
            raise ConfigError(f"{join(path, field.name)} is given more than once.", where=field.where)
    section = cls(**{k: tuple(v) if specs(cls)[k].repeated else v[0] for k, v in values.items()})
    _check_one_of(section, message, path)
    _check_order(section, message, path)
    return section


def spec_at(cls: type[Section], path: str) -> Spec | None:
    """What the typed field at a dotted path may hold, None where the path leads out of what detkit types."""
    first, _, rest = path.partition(".")
    spec = specs(cls).get(first)
    if not rest or spec is None:
        return spec
    return spec_at(spec.kind, rest) if is_dataclass(spec.kind) else None


def join(path: str, name: str) -> str:
    """A dotted path."""
    return f"{path}.{name}" if path else name


def _known(cls: type[Section], message: Message, path: str) -> Iterator[tuple[Field, Spec]]:
    known = {name: spec for name, spec in specs(cls).items() if not spec.metadata.get("untyped")}
    for field in message:
        if field.name in known:
            yield field, known[field.name]
        elif not field.name.startswith("[") and field.name not in cls.IGNORED.split():
            raise ConfigError(
                f"{path or 'A pipeline.config'} has no field {field.name}.",
                where=field.where,
                fix=nearest(field.name, known) or f"Its fields are: {', '.join(known)}.",
            )


def _typed(field: Field, spec: Spec, path: str):
    value = field.value
    if is_dataclass(spec.kind) and isinstance(value, Message):
        return build(spec.kind, value, path)
    is_enum, wants_enum = isinstance(value, Enum), bool(spec.metadata.get("choices"))
    if spec.kind is bool and value in (0, 1) and isinstance(value, int):
        return bool(value)  # the text format allows both
    # The right word in quotes is as wrong for an enum as a bare word is for a string.
    if not spec.accepts(value) or (spec.kind is str and is_enum != wants_enum):
        got = str(value) if is_enum else "a message" if isinstance(value, Message) else repr(value)
        fix = nearest(value, spec.metadata["choices"]) if is_enum and wants_enum else None
        expected = spec.expected + (" (in quotes)" if spec.kind is str and not wants_enum else "")
        raise ConfigError(
            f"{path} can't have this value.", where=_where(field, path), got=got, expected=expected, fix=fix
        )
    return {float: float, str: str}.get(spec.kind, lambda same: same)(value)


def _where(field: Field, path: str) -> str:
    return field.where if field.source else path


def _check_one_of(section: Section, message: Message, path: str) -> None:
    for group in section.ONE_OF:
        given = [name for name in group.split() if name in message]
        if len(given) > 1:
            raise ConfigError(
                f"{path} takes one kind only.",
                where=_where(message.field(given[1]), path),
                got=" and ".join(given),
                expected=f"one of {', '.join(group.split())}",
            )


def _check_order(section: Section, message: Message, path: str) -> None:
    for pair in section.ORDERED:
        low, high = pair.split()
        if getattr(section, low) > getattr(section, high):
            field = message.field(low) or message.field(high)
            raise ConfigError(
                f"{path}.{low} exceeds {high}.",
                where=_where(field, path),
                got=f"{low} {getattr(section, low)}, {high} {getattr(section, high)}",
                expected=f"{low} at most {high}",
            )
