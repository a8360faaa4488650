"""YAML with the core schema of YAML 1.2 and the place of every key, so that mistakes can be pointed at.

Unlike in YAML 1.1, `1e-3` is a number and `on`, `off`, `yes`, `no` are texts; a key may not stand twice in a
mapping. Aliases are refused: a few lines of them can stand for more than memory holds.
"""

from __future__ import annotations

import re

import yaml

from detkit.errors import ConfigError
from detkit.pipeline.message import Source

_RESOLVED = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
}


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict = {}

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "an alias, which pipelines don't take", mark)
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers: dict = {}


for _tag, (_pattern, _first) in _RESOLVED.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _first)


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    # Only in double quotes do line separators survive.
    style = None if value.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def loads(text: str, source: str = "<string>") -> tuple[object, dict[str, str]]:
    """The plain values of a YAML document and the place of each key, by dotted path.

    Raises:
        ConfigError: with line and column, if it isn't YAML or a key stands twice.
    """
    place = Source(str(source), text.removeprefix("\ufeff"))
    try:
        node = yaml.compose(place.text, _Loader)
        places: dict[str, str] = {}
        return (None if node is None else _value(node, "", place, places)), places
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = place.where(min(mark.index, len(place.text))) if mark else source
        raise ConfigError("This isn't YAML.", where=where, got=error.problem or error.context) from None
    except yaml.reader.ReaderError as error:
        got = f"the character {error.character!r}: {error.reason}"
        raise ConfigError("This isn't YAML.", where=place.where(error.position), got=got) from None
    except RecursionError:
        raise ConfigError("The YAML is nested too deep.", where=source) from None


def dumps(values: dict) -> str:
    """A YAML document that `loads` reads back."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


def _value(node: yaml.Node, path: str, place: Source, places: dict[str, str]):
    if isinstance(node, yaml.SequenceNode):
        return [_value(child, f"{path}[{i}]", place, places) for i, child in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, place)
    values = {}
    for key_node, child in node.value:
        where = place.where(key_node.start_mark.index)
        key = key_node.value
        if not isinstance(key, str) or key in values:
            what = "A key stands twice in a mapping." if isinstance(key, str) else "A key has to be a text."
            raise ConfigError(what, where=where, got=key if isinstance(key, str) else "a list or mapping")
        below = f"{path}.{key}" if path else key
        places[below] = where
        values[key] = _value(child, below, place, places)
    return values


def _scalar(node: yaml.ScalarNode, place: Source):
    kind, text = node.tag.rpartition(":")[2], node.value
    try:
        if kind == "int":
            return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        if kind == "float":
            return float(text.replace(".", "", 1) if text[-1].isalpha() else text)
    except (ValueError, IndexError):  # a tag that the text doesn't fit, or more digits than int() takes
        raise ConfigError("This isn't a number.", where=place.where(node.start_mark.index), got=text[:40]) from None
    if kind in ("null", "bool"):
        return None if kind == "null" else text.lower() == "true"
    return text
