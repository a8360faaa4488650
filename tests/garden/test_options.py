"""Options of Model Garden and their types, on a configuration made like one of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from detkit.errors import ConfigError
from detkit.garden import options


class Section:
    def override(self):
        """Which every section has."""


class OneOfConfig(Section):
    """As Model Garden calls those of which one counts."""


@dataclass
class Backbone(OneOfConfig):
    type: str | None = None
    resnet: Section = field(default_factory=Section)
    mobilenet: Section = field(default_factory=Section)


@dataclass
class Model(Section):
    num_classes: int = 0
    momentum: float = 0.9
    pad: bool = True
    modules: str | list[str] = "all"
    input_size: Sequence[int] = field(default_factory=list)
    checkpoint: str | None = None
    anything: object = None
    backbone: Backbone = field(default_factory=Backbone)


@dataclass
class Config(Section):
    model: Model = field(default_factory=Model)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("num_classes", 3),
        ("num_classes", 3.0),
        ("momentum", 1),
        ("pad", False),
        ("modules", ["backbone"]),
        ("modules", "all"),
        ("input_size", [64, 64, 3]),
        ("input_size", (64, 64, 3)),
        ("checkpoint", None),
        ("anything", "at all"),
        ("backbone.type", "resnet"),
        ("backbone.type", None),
    ],
)
def test_values_of_the_right_type_pass(path, value):
    options.check(Config(), f"model.{path}", value)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("num_classes", "two", "a whole number"),
        ("num_classes", True, "a whole number"),
        ("num_classes", 2.5, "a whole number"),
        ("num_classes", None, "a whole number"),
        ("momentum", "high", "a number"),
        ("pad", 1, "true or false"),
        ("modules", 3, "a text or a list"),
        ("input_size", 64, "a list"),
        ("backbone", "resnet", "a mapping"),
        ("backbone.type", "resnett", "Did you mean resnet?"),
        ("num_clases", 3, "Did you mean num_classes?"),
        ("num_classes.a", 3, "a value for model.num_classes"),
    ],
)
def test_others_are_refused(path, value, expected):
    with pytest.raises(ConfigError) as error:
        options.check(Config(), f"model.{path}", value)
    assert error.value.where == f"model.{path}" and expected in str(error.value)
