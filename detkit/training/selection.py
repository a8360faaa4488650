"""Which variables are tuned, and where the frozen part of the network ends."""

from __future__ import annotations

import math
from dataclasses import dataclass

from detkit.checkpoint.surgery import select
from detkit.errors import ConfigError


@dataclass(frozen=True)
class Selection:
    """What a training run changes.

    Attributes:
        groups: [(learning-rate multiplier, variable paths)].
        seam: index of the first stage with a tuned variable; all before it is frozen.
        text: what matched, for the log.
    """

    groups: list[tuple[float, list[str]]]
    seam: int
    text: str

    @property
    def paths(self) -> list[str]:
        return [path for _, paths in self.groups for path in paths]


def choose(detector, tune) -> Selection:
    """The selection for a word of `Network.tunable`, or for rules; of these the last that matches counts.

    Args:
        tune: the word, or rules with `pattern` and `multiplier`.

    Raises:
        ConfigError: if a rule matches nothing.
    """
    used, layers, variables = _used(detector), detector.paths(), detector.variables()
    parts = {
        path: part
        for path, part in detector.part_of().items()
        if variables[path].trainable and id(layers[path.rsplit("/", 1)[0]]) in used
    }
    if isinstance(tune, str):
        rules = [(part, 1.0) for part in detector.tunable[tune] if part in parts.values()]
    else:
        rules = [(rule.pattern, rule.multiplier) for rule in tune]
    multipliers, lines = {}, []
    for rule, multiplier in rules:
        matched = select(rule, parts)
        multipliers |= dict.fromkeys(matched, multiplier)
        lines.append(
            f"tune {rule} x{multiplier:g}: {len(matched)} variables, {_parameters(detector, matched):,} parameters"
        )
    return of_multipliers(detector, multipliers, lines)


def of_multipliers(detector, multipliers: dict[str, float], lines: list[str]) -> Selection:
    """The selection of variables by path, each with a factor of the learning rate; 0 freezes.

    Args:
        lines: what is to be said of it.

    Raises:
        ConfigError: if nothing is left.
    """
    chosen = {path: value for path, value in multipliers.items() if value > 0}
    if not chosen:
        raise ConfigError(
            "Nothing is tuned: every rule has multiplier 0.",
            where="train.tune",
            fix="Give at least one rule a positive multiplier, or name a part: heads, towers, neck, all.",
        )
    groups = [(value, [p for p, v in chosen.items() if v == value]) for value in dict.fromkeys(chosen.values())]
    seam = _seam(detector, chosen)
    last = f"frozen: {seam} of {len(detector.stages)} stages; first tuned: {detector.stages[seam].name}"
    return Selection(groups, seam, "\n".join([*lines, last]))


def _used(detector) -> set[int]:
    """The layers that some stage runs: a checkpoint may hold others, which training can't change."""
    return {id(layer) for stage in detector.stages for layer in stage.layers}


def _parameters(detector, paths) -> int:
    variables = detector.variables()
    return sum(math.prod(variables[path].shape) for path in paths)


def _seam(detector, chosen) -> int:
    layers = detector.paths()
    tuned = {id(layers[path.rsplit("/", 1)[0]]) for path in chosen}
    seam = next(i for i, stage in enumerate(detector.stages) if any(id(layer) in tuned for layer in stage.layers))
    # Stages without weights are no frozen part: their output would not be worth keeping.
    return seam if any(stage.layers for stage in detector.stages[:seam]) else 0
