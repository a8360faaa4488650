"""Precision-recall and training curves as PNG files."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from detkit.errors import DataError
from detkit.evaluation.metrics import RECALL_GRID, Metrics
from detkit.io import atomic_write, unreadable
from detkit.visualize.palette import colour

_NAMED_CLASSES = 12  # more names than this make the legend larger than the plot
_LONGEST_NAME = 30  # letters
_ON_WHITE = (6, 2, 3, 5, 0, 1, 13, 20, 16, 17)  # the palette's colours that show on white, strongest first
_PANELS = {
    "loss": re.compile("loss|localization|classification|regularization"),
    "average precision and recall": re.compile("(^|[_/.])(AP|AP50|AP75|AR100)$"),
    "validation": re.compile("^val_(accuracy|iou)$"),
    "learning rate": re.compile("learning_rate"),
}


def pr_curve(metrics: Metrics, path: str | Path) -> None:
    """Draws precision over recall at IoU 0.5: each class thin, their mean bold; writes a PNG.

    Raises:
        DataError: if no class has a ground truth box.
        ConfigError: if the path can't be written.
    """
    if not metrics.pr_curves:
        raise DataError("There is no precision-recall curve to draw: no class has a ground truth box.")
    _save(curves(metrics), path)


def curves(metrics: Metrics):
    """The figure of `pr_curve`."""
    sheet, (axes,) = figure(1, width=7, height=5.5)
    few = len(metrics.pr_curves) <= _NAMED_CLASSES
    for n, (name, precision) in enumerate(metrics.pr_curves.items()):
        label = f"{literal(name)}  AP50 {metrics.per_class[name]['AP50']:.3f}" if few else None
        style = {"color": hue(n), "linewidth": 1.6} if few else {"color": "0.75", "linewidth": 0.8}
        axes.plot(RECALL_GRID, precision, label=label, **style)
    if len(metrics.pr_curves) > 1:
        mean = np.mean(list(metrics.pr_curves.values()), axis=0)
        axes.plot(RECALL_GRID, mean, color="0.1", linewidth=2.6, label=f"mean  AP50 {metrics['AP50']:.3f}")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    axes.set_title(f"Precision and recall at IoU 0.5 ({metrics.images} images, {metrics.boxes} boxes)")
    axes.legend(frameon=False, fontsize=9)
    return sheet


def training_curves(history: Sequence[Mapping] | str | Path, path: str | Path) -> None:
    """Draws losses, and where there are any metrics and learning rate, over the steps; writes a PNG.

    Args:
        history: rows, or a CSV file of rows, with a `step` (without it the rows are counted). Drawn are
            the columns with `loss`, `localization`, `classification`, `regularization` or `learning_rate`
            in their names, those ending in `AP`, `AP50`, `AP75` or `AR100`, and `val_accuracy` and `val_iou`. Cells may
            be empty.
        path: the PNG file.

    Raises:
        DataError: if no row has a loss, or the CSV file can't be read.
        ConfigError: if the path can't be written.
    """
    source = history if isinstance(history, (str, Path)) else "the history"
    columns = _columns(_read(Path(history)) if isinstance(history, (str, Path)) else history)
    steps = columns.pop("step", None)
    panels = {title: list(filter(wanted.search, columns)) for title, wanted in _PANELS.items()}
    if not panels["loss"]:
        raise DataError("There is no loss to draw.", where=source, got=f"columns {', '.join(columns) or 'none'}")
    panels = {title: names for title, names in panels.items() if names}
    sheet, all_axes = figure(len(panels), width=8, height=1.2 + 2.8 * len(panels))
    for axes, (title, names) in zip(all_axes, panels.items(), strict=True):
        for n, name in enumerate(names):
            _line(axes, steps, columns[name], hue(n), name, smooth=title == "loss")
        axes.set_ylabel(title)
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, fontsize=9)
    all_axes[-1].xaxis.get_major_locator().set_params(integer=True)
    all_axes[-1].set_xlabel("step")
    _save(sheet, path)


def _line(axes, steps, values: np.ndarray, tint: str, name: str, smooth: bool) -> None:
    """One column over the steps; many noisy values are drawn faint, under their running mean."""
    there = np.isfinite(values)
    x = (np.arange(1, len(values) + 1) if steps is None else steps)[there]
    y = values[there]
    window = len(y) // 20
    if smooth and window > 1:
        axes.plot(x, y, color=tint, alpha=0.3, linewidth=0.8)
        y = _running_mean(y, window)
    axes.plot(x, y, color=tint, label=name, linewidth=1.8, marker="o" if len(y) < 12 else None)


def _running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """The mean of each value and up to `window - 1` before it."""
    total = np.cumsum(np.concatenate([[0.0], values]))
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - window, 0)
    return (total[end] - total[start]) / (end - start)


def _read(path: Path) -> list[dict]:
    try:
        return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError("Can't read this CSV file.", **unreadable(path, error)) from error


def _columns(rows: Sequence[Mapping]) -> dict[str, np.ndarray]:
    """{name: float64 [rows]} of the columns with numbers, NaN in empty cells."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: np.array([_value(row.get(name)) for row in rows]) for name in names}
    return {name: values for name, values in columns.items() if np.isfinite(values).any()}


def _value(cell) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return float("nan")


def hue(n: int) -> str:
    """A colour that shows on white, another for each number."""
    return "#{:02x}{:02x}{:02x}".format(*colour(_ON_WHITE[n % len(_ON_WHITE)]))


def literal(name: str) -> str:
    """A name as matplotlib should write it: dollars make no formula, a first underscore does not hide its line."""
    short = name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
    return (" " if name.startswith("_") else "") + short.replace("$", r"\$")


def figure(panels: int, width: float, height: float):
    """A matplotlib figure with plain panels below each other, and these."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sheet = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(sheet)
    all_axes = sheet.subplots(panels, sharex=True, squeeze=False)[:, 0]
    for axes in all_axes:
        axes.grid(color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return sheet, all_axes


def encoded(sheet) -> bytes:
    """A figure as PNG."""
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # of names in other scripts: boxes are drawn
        sheet.savefig(content, format="png", dpi=120)
    return content.getvalue()


def _save(sheet, path: str | Path) -> None:
    content = encoded(sheet)
    with atomic_write(path, "wb") as file:
        file.write(content)
