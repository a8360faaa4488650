"""Whether Model Garden has an option, and whether a value is one that it can take."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from functools import cache

from detkit.errors import ConfigError
from detkit.pipeline.fields import nearest

_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "a mapping",
}


def check(config, path: str, value) -> None:
    """Raises where Model Garden has no such option, or the option is of another type.

    Args:
        config: of an experiment; path: dotted.

    Raises:
        ConfigError: with the nearest option.
    """
    node, done = config, []
    for name in path.split("."):
        names = _names(node)
        if name not in names:
            raise ConfigError(
                "Model Garden has no such option.",
                where=path,
                got=name,
                expected=f"one of {', '.join(names)}" if names else f"a value for {'.'.join(done)}",
                fix=nearest(name, names),
            )
        above, node = node, getattr(node, name)
        done.append(name)
    _check_value(above, path, node, value)


def _names(node) -> list[str]:
    """The options of a section, none for anything else."""
    return [key for key in vars(node) if not key.startswith("_")] if hasattr(node, "override") else []


def _check_value(section, path: str, default, value) -> None:
    name = path.rpartition(".")[2]
    choices = [each for each in _names(section) if each != "type"] if _is_choice(section) else []
    if name == "type" and isinstance(value, str) and choices and value not in choices:
        raise ConfigError(
            "Model Garden has nothing of that type.",
            where=path,
            got=value,
            expected=f"one of {', '.join(choices)}",
            fix=nearest(value, choices),
        )
    kinds = _kinds(section, name, default)
    if not kinds or _fits(value, kinds):
        return
    expected = " or ".join(dict.fromkeys(_KINDS[kind] for kind in _KINDS if kind in kinds))
    raise ConfigError("This option of Model Garden can't have this value.", where=path, got=value, expected=expected)


def _is_choice(section) -> bool:
    """Whether only one of the options of a section counts, the one that its `type` names."""
    return any(kind.__name__ == "OneOfConfig" for kind in type(section).__mro__)


def _kinds(section, name: str, default) -> set:
    """The plain types that an option takes, by its annotation and its default; none where it says too little."""
    if _names(default):
        return {dict}
    kinds = _plain(_annotations(type(section)).get(name))
    known = _plain(type(default)) if default is not None else {type(None)}
    return kinds | known if kinds else known - {type(None)}


@cache
def _annotations(kind: type) -> dict:
    try:
        return typing.get_type_hints(kind)
    except (NameError, TypeError):  # an annotation that can't be evaluated
        return {}


def _plain(hint) -> set:
    """The plain types of an annotation; none if it may be anything."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        parts = [_plain(part) for part in typing.get_args(hint)]
        return set().union(*parts) if all(parts) else set()
    hint = typing.get_origin(hint) or hint
    if not isinstance(hint, type):
        return set()
    if issubclass(hint, (bool, int, float, str, type(None))):
        return {hint}
    if issubclass(hint, Mapping) or hasattr(hint, "override"):
        return {dict}
    return {list} if issubclass(hint, (list, tuple)) or hint.__name__ == "Sequence" else set()


def _fits(value, kinds: set) -> bool:
    if value is None:
        return type(None) in kinds
    if isinstance(value, bool):
        return bool in kinds
    if isinstance(value, int):
        return bool(kinds & {int, float})
    if isinstance(value, float):
        return float in kinds or (int in kinds and value == int(value))
    return isinstance(value, (*kinds, tuple) if list in kinds else tuple(kinds))
