"""Dataclasses of options: the one source of YAML keys, API arguments and help texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, ClassVar, NamedTuple, TypeVar

from detkit.errors import ConfigError
from detkit.pipeline.fields import Spec, nearest, specs

T = TypeVar("T", bound="Options")


class Options:
    """A frozen dataclass that checks and converts its values when it is made.

    Mappings become the nested dataclasses they stand for, lists become tuples, ints become floats where a
    float is due.

    Raises:
        ConfigError: whose `where` is the dotted path of the value.
    """

    PATH: ClassVar[str] = ""  # where these options are in a pipeline

    def __post_init__(self):
        for name, spec in specs(type(self)).items():
            value = _checked(getattr(self, name), spec, _join(self.PATH, name))
            object.__setattr__(self, name, value)

    @classmethod
    def expand(cls, value):
        """The mapping that a short form stands for; the value itself if it is none."""
        return {} if value is None else value


class Described(NamedTuple):
    """What the help shows of one option."""

    path: str
    expected: str
    default: Any
    help: str


def from_mapping(cls: type[T], values) -> T:
    """The options that a mapping holds, or a short form of it.

    Raises:
        ConfigError: for an unknown key or a value that isn't allowed; `where` is its dotted path.
    """
    if isinstance(values, cls):
        return values
    values, path = cls.expand(values), cls.PATH
    if not isinstance(values, Mapping):
        raise ConfigError(
            f"{path or 'A pipeline'} holds keys and values.",
            where=path,
            got=repr(values),
            expected="a mapping",
        )
    for key in values:
        if key not in specs(cls):
            raise ConfigError(
                f"{_join(path, key)} is no key of a pipeline.",
                where=_join(path, key),
                fix=_meant(cls, str(key)),
            )
    return cls(**values)


def to_mapping(options: Options) -> dict:
    """Plain dicts, lists and scalars that `from_mapping` makes the same options of."""

    def plain(value):
        if is_dataclass(value):
            return to_mapping(value)
        return [plain(item) for item in value] if isinstance(value, tuple) else value

    return {field.name: plain(getattr(options, field.name)) for field in fields(options)}


def describe(cls: type[Options]) -> Iterator[Described]:
    """Every option below a class, in order of definition."""
    for field in fields(cls):
        spec = specs(cls)[field.name]
        if is_dataclass(spec.kind) and "convert" not in spec.metadata:
            yield from describe(spec.kind)
        else:
            default = None if field.default is MISSING else field.default
            yield Described(_join(cls.PATH, field.name), _expected(spec), default, spec.metadata["help"])


def spec_at(cls: type[Options], path: str) -> Spec | None:
    """What the option at a dotted path may hold, None if there is none."""
    first, _, rest = path.partition(".")
    spec = specs(cls).get(first)
    if not rest or spec is None:
        return spec
    return spec_at(spec.kind, rest) if is_dataclass(spec.kind) else None


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else str(name)


def _meant(cls: type[Options], key: str) -> str:
    """The advice for an unknown key: one of this name further down, a similar one here, or all there are."""
    below = [described.path for described in describe(cls) if described.path.endswith(f".{key}")]
    here = [_join(cls.PATH, name) for name in specs(cls)]
    fix = f"Did you mean {below[0]}?" if below else nearest(_join(cls.PATH, key), here)
    return fix or f"The keys here are: {', '.join(here)}."


def _expected(spec: Spec) -> str:
    listed = spec.repeated and "expects" not in spec.metadata
    expected = f"a list of: {spec.expected}" if listed else spec.expected
    return f"{expected}, or null" if spec.optional else expected


def _checked(value, spec: Spec, path: str):
    if "convert" in spec.metadata:
        return spec.metadata["convert"](value, path)
    if is_dataclass(spec.kind):
        return from_mapping(spec.kind, value)
    if value is None and spec.optional:
        return None
    several = isinstance(value, list | tuple)
    values = list(value) if several else [value]
    if several != spec.repeated or not all(spec.accepts(one) for one in values):
        fix = nearest(value, spec.metadata["choices"]) if "choices" in spec.metadata else None
        raise ConfigError(
            f"{path} can't have this value.", where=path, got=repr(value), expected=_expected(spec), fix=fix
        )
    values = [float(one) if spec.kind is float else one for one in values]
    return tuple(values) if spec.repeated else values[0]
