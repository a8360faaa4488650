"""What a model or a checkpoint holds, and what a surgery would do: `detkit inspect`."""

from __future__ import annotations

import math
from pathlib import Path

from detkit.checkpoint import reader, surgery
from detkit.detection import load
from detkit.detection.build import build
from detkit.zoo.source import locate


def inspect(model, *, reset=(), classes=(), variables: bool = False, checkpoint=None) -> str:
    """A report as text; nothing is changed.

    Args:
        model: a model, as `detkit.load` takes it, or the path of a bare checkpoint.
        reset: parts or regular expressions that a surgery would reinitialise.
        classes: classes of a new detector.
        variables: list every variable.
        checkpoint: another one than the model's own.

    Raises:
        ConfigError, CheckpointError: if the model can't be read.
    """
    if _is_bare_checkpoint(Path(model)):
        return _checkpoint(reader.open_checkpoint(model), variables)
    source = locate(model, checkpoint)
    names = tuple(classes) or source.classes
    detector = build(load.for_classes(source.config, names), names, name=source.name)
    plan = load.replacing_classes(detector, reset=reset) if names != source.classes else surgery.Plan(tuple(reset))
    report = surgery.examine(detector, reader.open_checkpoint(source.checkpoint), plan)
    return surgery_text(detector, f"model {source.name}: {detector.meta.feature_extractor.type}", report, variables)


def surgery_text(detector, title: str, report: surgery.Report, variables: bool = False) -> str:
    """What a surgery would do to a detector, or a network of another task.

    Args:
        title: the first line.
        report: of the surgery.
        variables: list every variable.
    """
    names = detector.classes
    lines = [
        title,
        f"input {_size(detector.input_size)}, {_counted(len(names), 'class', 'classes')}: {', '.join(names[:12])}"
        + (" ..." if len(names) > 12 else ""),
        report.text(),
        "everything is explained" if report.explained else f"NOT explained: {surgery.advice(report)}",
    ]
    if variables:
        lines += _variables(detector, report)
    return "\n".join(lines)


def _is_bare_checkpoint(path: Path) -> bool:
    if path.is_file():
        return path.suffix in (".index", ".npz")
    has_config = path.is_dir() and (path / "pipeline.config").is_file()
    exists = Path(f"{path}.index").is_file() or path.is_dir()
    return exists and not has_config


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _size(size) -> str:
    return f"{size[0]}x{size[1]}" if size else "as large as the images"


def _checkpoint(checkpoint, variables: bool) -> str:
    """A checkpoint by itself: groups of keys with their numbers."""
    groups: dict = {}
    model = set(checkpoint.model_keys)
    for key, shape in checkpoint.shapes.items():
        name = "/".join(checkpoint.model_path(key).split("/")[:2]) if key in model else "training state (not used)"
        groups.setdefault(name, []).append(math.prod(shape))
    lines = [f"checkpoint {checkpoint.source}", f"{'group':<52}{'variables':>10}{'parameters':>13}"]
    lines += [f"{name:<52}{len(sizes):>10}{sum(sizes):>13,}" for name, sizes in sorted(groups.items())]
    if variables:
        lines += [f"{key} {list(shape)}" for key, shape in checkpoint.shapes.items()]
    return "\n".join(lines)


def _variables(detector, report) -> list[str]:
    state = {path: "restored" for path in report.restored} | {path: "reset" for path in report.reset}
    state |= {path: "missing" for path in report.missing} | {path: "mismatched" for path in report.mismatched}
    return [
        f"{report.parts[path]:<16}{state[path]:<12}{path} {list(variable.shape)}"
        for path, variable in detector.variables().items()
    ]
