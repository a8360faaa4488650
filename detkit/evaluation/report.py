"""An evaluation as one HTML file that needs nothing else: numbers, plots, and the worst images."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detkit.evaluation import report_plots
from detkit.evaluation.errors import CAUSES, MEANING
from detkit.evaluation.page import cards as cards_of
from detkit.evaluation.page import picture, plot, table, write_page
from detkit.evaluation.summary import Summary
from detkit.evaluation.tables import shown
from detkit.evaluation.worst import WorstImage

_CONFUSIONS = 10  # that are listed


def write_report(
    path: str | Path, summary: Summary, worst: Sequence[WorstImage] = (), title: str = "Evaluation"
) -> None:
    """Writes the report.

    Args:
        path: the HTML file.
        summary: what to report.
        worst: images to show.
        title: its heading.

    Raises:
        ConfigError: if the path can't be written.
    """
    sections = [
        _cards(summary),
        "".join(f'<p class="note">{html.escape(text)}</p>' for text in summary.metrics.warnings),
        _comparison(summary),
        _plots(summary),
        _classes(summary),
        _numbers(summary),
        _causes(summary),
        _images(worst),
    ]
    write_page(path, title, sections)


def _cards(summary: Summary) -> str:
    metrics, best = summary.metrics, summary.points[""]
    cards = [(name, shown(metrics[name]), _span(summary, name)) for name in ("AP", "AP50", "AP75")]
    cards += [(name, shown(metrics[name]), "") for name in metrics if name.endswith("_AP")]
    if best:
        cards.append(("best F1", shown(best.f1), f"at score {best.score:.2f}"))
    counts = f"{metrics.images} images, {metrics.boxes} boxes, {metrics.detections} detections."
    hint = "" if not summary.intervals else (
        " In brackets: where the true value lies with 95% confidence, for images like these."
    )  # fmt: skip
    return f"<p>{counts}{hint}</p>{cards_of(cards)}"


def _span(summary: Summary, name: str) -> str:
    each = summary.intervals.get(name)
    return f"({each.low:.3f} to {each.high:.3f})" if each else ""


def _comparison(summary: Summary) -> str:
    return f"<h2>Beside the other model</h2><p>{html.escape(str(summary.comparison))}</p>" if summary.comparison else ""


def _plots(summary: Summary) -> str:
    plots = [
        report_plots.precision_recall(summary),
        report_plots.by_score(summary),
        report_plots.causes(summary),
        report_plots.calibration(summary),
    ]
    images = "".join(map(plot, filter(None, plots)))
    matrix = report_plots.confusion(summary)
    wide = f"<p>{plot(matrix, wide=True)}</p>" if matrix else _confusions(summary)
    return f'<h2>Curves</h2><div class="plots">{images}</div>{wide}'


def _confusions(summary: Summary) -> str:
    """The most frequent confusions, for more classes than fit a picture of all."""
    if summary.confusion is None:
        return ""
    matrix, names = summary.confusion[:-1, :-1].copy(), list(summary.metrics.per_class)
    np.fill_diagonal(matrix, 0)
    places = np.argsort(-matrix, axis=None, kind="stable")[:_CONFUSIONS]
    pairs = [divmod(int(place), len(names)) for place in places if matrix.flat[place]]
    rows = [[names[truth], names[found], str(matrix[truth, found])] for truth, found in pairs]
    note = f"The most frequent confusions, score {summary.points[''].score:.2f} or more"
    return table(["class", "found as", "how often"], rows, note) if rows else ""


def _classes(summary: Summary) -> str:
    per_class = summary.metrics.per_class
    others = [name for name in next(iter(per_class.values())) if name.endswith("_AP")]
    head = ["class", "boxes", "AP", "AP50", *others, "VOC AP", "best score", "precision", "recall", "F1"]
    rows = []
    for name, values in per_class.items():
        point = summary.points[name]
        at_best = [point.score, point.precision, point.recall, point.f1] if point else [-1.0] * 4
        numbers = [*(values[key] for key in ("AP", "AP50", *others)), summary.voc["all"].get(name, -1.0), *at_best]
        rows.append([name, str(values["boxes"]), *map(shown, numbers)])
    note = "Precision, recall and F1 at the score that is best for the class, IoU 0.5."
    return f"<h2>Classes</h2>{table(head, rows, note)}"


def _numbers(summary: Summary) -> str:
    rows = [[name, shown(value)] for name, value in summary.metrics.items()]
    for points, words in (("all", "all points"), ("11", "11 points")):
        values = list(summary.voc[points].values())
        rows.append([f"Pascal VOC mAP, {words}", shown(float(np.mean(values)) if values else -1.0)])
    rows.append(["expected calibration error", shown(summary.calibration.error)])
    return f"<h2>All numbers</h2>{table(['', ''], rows)}"


def _causes(summary: Summary) -> str:
    rows = [
        [f"{name}: {MEANING[name]}", str(summary.errors.count[name]), f"{summary.errors.cost[name]:.3f}"]
        for name in CAUSES
    ]
    note = "Costs are what AP50 would gain if these errors alone were put right; they need not add up."
    return f"<h2>Errors by cause</h2>{table(['cause', 'how many', 'cost'], rows, note)}"


def _images(worst: Sequence[WorstImage]) -> str:
    if not worst:
        return ""
    legend = "Green: right. Red: wrong, with the cause. Yellow, dashed: missed."
    figures = "".join(map(_figure, worst))
    return f'<h2>The worst images</h2><p>{legend}</p><div class="images">{figures}</div>'


def _figure(each: WorstImage) -> str:
    return picture(each.picture, f"{each.name}: {each.missed} missed, {each.wrong} wrong")
