"""Checkpoint surgery: a plan, its report, and only then the operation.

Every variable of the model must be explained (restored or reset), and so must everything in the checkpoint. Source of
the discipline: `merge_params` of google-research/big_vision.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from detkit.errors import CheckpointError, ConfigError

SHOWN = 8  # offending keys that a message lists


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        reset: parts ("head/class_head") or regular expressions over variable paths that get fresh values.
        drop: regular expressions over checkpoint keys that may stay unused.
        convert: {variable path: function(stored array) -> array} for values that need reshaping on the way.
    """

    reset: tuple = ()
    drop: tuple = ()
    convert: dict[str, Callable] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """What a surgery would do, variable by variable.

    Attributes:
        source: the checkpoint.
        restored: {variable path: checkpoint key}.
        reset: variable paths that get fresh values.
        missing: variable paths that the checkpoint lacks.
        mismatched: {variable path: (shape in the model, shape in the checkpoint)}.
        unused: checkpoint keys that nothing asks for.
        shapes: {variable path: shape}; parts: {variable path: part}.
    """

    source: str
    restored: dict
    reset: tuple
    missing: tuple
    mismatched: dict
    unused: tuple
    shapes: dict
    parts: dict

    @property
    def explained(self) -> bool:
        """Whether nothing is missing, mismatched or unused."""
        return not (self.missing or self.mismatched or self.unused)

    def counts(self) -> dict:
        """{part: {"restored" | "reset" | "missing" | "mismatched": (variables, parameters)}}."""
        states = {path: "restored" for path in self.restored} | {path: "reset" for path in self.reset}
        states |= {path: "missing" for path in self.missing} | {path: "mismatched" for path in self.mismatched}
        table: dict = {}
        for path, state in states.items():
            cell = table.setdefault(self.parts[path], {}).setdefault(state, [0, 0])
            cell[0] += 1
            cell[1] += int(np.prod(self.shapes[path]))
        return table

    def text(self) -> str:
        """The report as a table with the offending keys below it."""
        lines = [f"checkpoint {self.source}", f"{'part':<18}{'state':<12}{'variables':>10}{'parameters':>13}"]
        for part, states in self.counts().items():
            lines += [f"{part:<18}{state:<12}{n:>10}{size:>13,}" for state, (n, size) in states.items()]
        mismatched = [f"{path}: model {ours}, checkpoint {theirs}" for path, (ours, theirs) in self.mismatched.items()]
        lines += _listing("missing in the checkpoint", self.missing)
        lines += _listing("shape mismatch", mismatched)
        lines += _listing("unused in the checkpoint", self.unused)
        return "\n".join(lines)


def _listing(title: str, entries) -> list[str]:
    if not entries:
        return []
    more = [f"  ... and {len(entries) - SHOWN} more"] if len(entries) > SHOWN else []
    return [f"{title}: {len(entries)}", *(f"  {entry}" for entry in list(entries)[:SHOWN]), *more]


def examine(detector, checkpoint, plan: Plan = Plan()) -> Report:
    """What `plan` would do to the detector with this checkpoint; changes nothing.

    Raises:
        ConfigError: if an entry of `plan.reset` matches no variable.
    """
    shapes = {path: tuple(variable.shape) for path, variable in detector.variables().items()}
    parts, aliases = detector.part_of(), _aliases(detector)
    reset = {path for rule in plan.reset for path in select(rule, parts)}
    keys = {path: checkpoint.find(aliases[path]) for path in shapes}
    restored, mismatched, missing = {}, {}, []
    for path, key in keys.items():
        if path in reset:
            continue
        if key is None:
            missing.append(path)
        elif checkpoint.shapes[key] != shapes[path] and path not in plan.convert:
            mismatched[path] = (shapes[path], checkpoint.shapes[key])
        else:
            restored[path] = key
    wanted = {key for key in keys.values() if key}
    unused = [key for key in checkpoint.model_keys if key not in wanted and not _any(plan.drop, key)]
    ordered = tuple(path for path in shapes if path in reset)
    return Report(
        checkpoint.source, restored, ordered, tuple(missing), mismatched, tuple(sorted(unused)), shapes, parts
    )


def apply(detector, checkpoint, plan: Plan = Plan(), seed: int = 0) -> Report:
    """Examines, raises unless everything is explained, then restores and resets.

    Args:
        seed: of the fresh values.

    Raises:
        CheckpointError: with the report, if anything is not explained; the detector is unchanged then.
    """
    report = examine(detector, checkpoint, plan)
    if not report.explained:
        raise CheckpointError(
            "The checkpoint does not fit the model.\n" + report.text(),
            fix=advice(report),
        )
    values = {path: checkpoint.read(key) for path, key in report.restored.items()}
    for path, convert in plan.convert.items():
        if path in values:
            values[path] = convert(values[path])
    variables = detector.variables()
    detector.initialize(report.reset, seed)
    for path, value in values.items():
        variables[path].assign(value)
    return report


def advice(report: Report) -> str:
    """What to do about an unexplained report."""
    parts = Counter(report.parts[path] for path in (*report.missing, *report.mismatched))
    if set(parts) == {"head/class_head"}:
        return 'The class count differs: reset the class head (reset=["head/class_head"]), or give the right label map.'
    if parts["backbone"]:
        return (
            "The checkpoint belongs to another architecture: use the pipeline.config that came with it, "
            "or the experiment and the overrides that it was trained with."
        )
    return "Reset what is missing (reset=[...]), drop what is unused (drop=[...]), or use the config that came with it."


def select(rule: str, parts: dict) -> list[str]:
    """The variable paths that a part's name or a regular expression selects.

    Args:
        parts: {variable path: part}.

    Raises:
        ConfigError: if it selects nothing, or is no regular expression.
    """
    try:
        pattern = re.compile(rule)
    except re.error as error:
        raise ConfigError("Not a regular expression.", got=rule, fix=f"Correct it: {error}.") from None
    named = [path for path, part in parts.items() if part == rule or part.startswith(f"{rule}/")]
    found = named or [path for path, part in parts.items() if pattern.search(path) or pattern.search(f"{part}/{path}")]
    if not found:
        raise ConfigError(
            "A rule matches no variable.",
            got=rule,
            expected="a part (" + ", ".join(dict.fromkeys(parts.values())) + ") or a regular expression over paths",
            fix="List the paths with `detkit inspect MODEL --variables`.",
        )
    return found


def _aliases(detector) -> dict:
    """{variable path: every path that leads to it, the shortest first}."""
    paths: dict = {}
    for path, layer in detector.nodes.items():
        paths.setdefault(id(layer), []).append(path)
    layers, aliases = detector.paths(), {}
    for path in detector.variables():
        node, name = path.rsplit("/", 1)
        others = [other for other in paths[id(layers[node])] if other != node]
        aliases[path] = [f"{other}/{name}" for other in (node, *others)]
    return aliases


def _any(patterns, key: str) -> bool:
    return any(re.search(pattern, key) for pattern in patterns)
