"""Writes docs/options.md from the options themselves: run `python docs/options.py` after changing one."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path

from detkit.pipeline.options import describe
from detkit.pipeline.settings import Augment, Pipeline, TuneRule
from detkit.pipeline.transfer import (
    ClassificationModel,
    LocalizationModel,
    SegmentationModel,
    SegmentationTraining,
    TransferTraining,
)

PAGE = Path(__file__).with_suffix(".md")
HEAD = """# Every option of a pipeline

A pipeline is a YAML file with the keys `task`, `model`, `data`, `train` and `output`. Everything has a default but
`data.train`. What `model` and `train` hold depends on the task. A path in the file is relative to the file's folder. On
the command line, `--set KEY=VALUE` overrides any option, by the names below. In Python, `detkit.finetune` takes those
of `train` as arguments. An unknown key is an error that names the nearest known one.
"""
PARTS = {
    "The pipeline": Pipeline,
    "`train.augment` as a mapping": Augment,
    "A rule of `train.tune`": TuneRule,
    "`model` where the task is classification": ClassificationModel,
    "`model` where the task is localization": LocalizationModel,
    "`model` where the task is segmentation": SegmentationModel,
    "`train` where the task is one of these three": TransferTraining,
}


def page() -> str:
    """The text of docs/options.md."""
    sections = [_section(title, describe(options)) for title, options in PARTS.items()]
    usual = {each.path: each.default for each in describe(TransferTraining)}
    own = [each for each in describe(SegmentationTraining) if each.default != usual.get(each.path)]
    return "\n".join([HEAD, *sections, _section("Other defaults of `train` where the task is segmentation", own)])


def _section(title: str, options) -> str:
    rows = [[f"`{each.path}`", each.help, each.expected, _text(each.default)] for each in options]
    table = [["option", "meaning", "values", "default"], ["---"] * 4, *rows]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table]
    return "\n".join([f"## {title}", "", *lines, ""])


def _text(default) -> str:
    if isinstance(default, bool):
        return "true" if default else "false"
    if default is None or default == ():
        return "null" if default is None else "none"
    if is_dataclass(default):
        changed = [field for field in fields(default) if getattr(default, field.name) != field.default]
        return "{" + ", ".join(f"{field.name}: {_text(getattr(default, field.name))}" for field in changed) + "}"
    if isinstance(default, tuple):
        return f"[{', '.join(map(_text, default))}]"
    return f"{default:g}" if isinstance(default, float) else str(default)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
