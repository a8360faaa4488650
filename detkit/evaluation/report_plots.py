"""The plots of a report, as PNG bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detkit.evaluation.errors import CAUSES
from detkit.evaluation.plots import curves, encoded, figure, hue, literal
from detkit.evaluation.summary import Summary

_MOST_CLASSES = 30  # of a confusion matrix whose numbers can be read


def precision_recall(summary: Summary) -> bytes | None:
    """The curves of `plots.pr_curve`; None without any."""
    return encoded(curves(summary.metrics)) if summary.metrics.pr_curves else None


def by_score(summary: Summary) -> bytes | None:
    """Precision, recall and F1 over the score threshold, of all classes together; None without detections."""
    matches = summary.metrics.matches
    order = np.argsort(-matches.score, kind="stable")
    score, right = matches.score[order], matches.correct[0, order].cumsum()
    if not len(score) or not matches.objects.sum():
        return None
    wrong, objects = matches.wrong[0, order].cumsum(), matches.objects.sum()
    sheet, (axes,) = figure(1, width=6, height=4.2)
    lines = {
        "precision": right / np.maximum(right + wrong, 1),
        "recall": right / objects,
        "F1": 2 * right / (right + wrong + objects),
    }
    for n, (name, values) in enumerate(lines.items()):
        axes.plot(score, values, color=hue(n), label=name, linewidth=1.8)
    best = summary.points[""]
    if best:
        axes.axvline(best.score, color="0.4", linewidth=1, linestyle="--")
        axes.annotate(f" best F1 {best.f1:.2f} at {best.score:.2f}", (best.score, 0.03), fontsize=9, color="0.3")
    limits = min(0, score[-1]), max(1, score[0])
    axes.set(xlim=limits, ylim=(0, 1.02), xlabel="score threshold", title="What a score threshold does")
    axes.legend(frameon=False, fontsize=9)
    return encoded(sheet)


def calibration(summary: Summary) -> bytes | None:
    """The share of right detections over their score; None without detections."""
    found = summary.calibration
    if not found.counts.any():
        return None
    sheet, (axes,) = figure(1, width=6, height=4.2)
    centres, width = (found.edges[1:] + found.edges[:-1]) / 2, found.edges[1] - found.edges[0]
    there = found.counts > 0
    axes.bar(centres[there], found.precision[there], width * 0.9, color=hue(0), alpha=0.75, label="share that is right")
    axes.plot([0, 1], [0, 1], color="0.4", linewidth=1, linestyle="--", label="if scores were probabilities")
    for x, y, count in zip(centres[there], found.precision[there], found.counts[there], strict=True):
        axes.annotate(str(count), (x, y), ha="center", va="bottom", fontsize=7, color="0.4")
    title = f"Calibration: scores are off by {found.error:.2f} on average"
    axes.set(xlim=(0, 1), ylim=(0, 1.08), xlabel="score", title=title)
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    return encoded(sheet)


def causes(summary: Summary) -> bytes:
    """The AP50 that each kind of error costs, and how many there are."""
    sheet, (axes,) = figure(1, width=6, height=3.4)
    cost = [summary.errors.cost[name] for name in CAUSES]
    axes.barh(range(len(CAUSES)), cost, color=[hue(n) for n in range(len(CAUSES))], height=0.65)
    for n, name in enumerate(CAUSES):
        axes.annotate(f" {cost[n]:.3f}  ({summary.errors.count[name]})", (cost[n], n), va="center", fontsize=9)
    axes.set_yticks(range(len(CAUSES)), CAUSES)
    axes.invert_yaxis()
    axes.set(xlim=(0, max(max(cost) * 1.3, 0.01)), title="AP50 that each kind of error costs (and how many)")
    axes.grid(axis="y", visible=False)
    return encoded(sheet)


def confusion(summary: Summary) -> bytes | None:
    """Which class was taken for which; None where there is no score to cut at, or more classes than can be read."""
    if summary.confusion is None:
        return None
    title = f"Found as (columns), in truth (rows), score {summary.points[''].score:.2f} or more"
    return matrix_plot(summary.confusion, [*summary.metrics.per_class, "nothing"], title)


def matrix_plot(matrix: np.ndarray, names: Sequence[str], title: str) -> bytes | None:
    """A confusion matrix, rows the truth; None for more classes than can be read."""
    names = [*map(literal, names)]
    if len(names) > _MOST_CLASSES:
        return None
    side = 2.2 + 0.45 * len(names)
    sheet, (axes,) = figure(1, width=max(side, 4), height=max(side, 3.6))
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            ink = "white" if share[row, column] > 0.5 else "black"
            axes.annotate(str(count), (column, row), ha="center", va="center", fontsize=8, color=ink)
    axes.set_xticks(range(len(names)), names, rotation=90 if len(names) > 4 else 0)
    axes.set_yticks(range(len(names)), names)
    axes.grid(visible=False)
    axes.set_title(title, fontsize=9, wrap=True)
    return encoded(sheet)
