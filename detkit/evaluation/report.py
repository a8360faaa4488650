"""An evaluation as one HTML file that needs nothing else: numbers, plots, and the worst images."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detkit.evaluation import report_plots
from detkit.evaluation.errors import CAUSES, MEANING
from detkit.evaluation.summary import Summary
from detkit.evaluation.tables import shown
from detkit.evaluation.worst import WorstImage
from detkit.io import atomic_write

_CONFUSIONS = 10  # that are listed
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1080px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.6em; } h2 { font-size: 1.2em; margin-top: 2em; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; margin: .6em 0; } caption { text-align: left; color: #666; }
th, td { padding: .2em .8em; text-align: right; border-bottom: 1px solid #eee; }
th:first-child, td:first-child { text-align: left; }
.cards { display: flex; gap: 1em; flex-wrap: wrap; }
.card { background: #f4f6f8; border-radius: 8px; padding: .7em 1.2em; }
.card b { font-size: 1.7em; display: block; } .card span { color: #666; font-size: .85em; }
.plots, .images { display: flex; flex-wrap: wrap; gap: 1em; } .plots img { max-width: 520px; width: 100%; }
.wide { max-width: 100%; }
figure { margin: 0; width: 340px; } figure img { width: 100%; border-radius: 4px; }
figcaption { font-size: .85em; color: #555; }
.note { background: #fff6dd; border-radius: 8px; padding: .5em 1em; margin: .5em 0; }
"""


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
    heading = html.escape(title)
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{heading}</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>{heading}</h1>\n" + "\n".join(sections) + "\n</body></html>\n"
    )
    with atomic_write(path) as file:
        file.write(page)


def _cards(summary: Summary) -> str:
    metrics, best = summary.metrics, summary.points[""]
    cards = [(name, shown(metrics[name]), _span(summary, name)) for name in ("AP", "AP50", "AP75")]
    cards += [(name, shown(metrics[name]), "") for name in metrics if name.endswith("_AP")]
    if best:
        cards.append(("best F1", shown(best.f1), f"at score {best.score:.2f}"))
    boxes = "".join(
        f'<div class="card">{name}<b>{value}</b><span>{html.escape(text)}</span></div>' for name, value, text in cards
    )
    counts = f"{metrics.images} images, {metrics.boxes} boxes, {metrics.detections} detections."
    hint = "" if not summary.intervals else (
        " In brackets: where the true value lies with 95% confidence, for images like these."
    )  # fmt: skip
    return f'<p>{counts}{hint}</p><div class="cards">{boxes}</div>'


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
    images = "".join(f'<img alt="" src="{_data(content, "png")}">' for content in plots if content)
    matrix = report_plots.confusion(summary)
    wide = f'<p><img class="wide" alt="" src="{_data(matrix, "png")}"></p>' if matrix else _confusions(summary)
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
    return _table(["class", "found as", "how often"], rows, note) if rows else ""


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
    return f"<h2>Classes</h2>{_table(head, rows, note)}"


def _numbers(summary: Summary) -> str:
    rows = [[name, shown(value)] for name, value in summary.metrics.items()]
    for points, words in (("all", "all points"), ("11", "11 points")):
        values = list(summary.voc[points].values())
        rows.append([f"Pascal VOC mAP, {words}", shown(float(np.mean(values)) if values else -1.0)])
    rows.append(["expected calibration error", shown(summary.calibration.error)])
    return f"<h2>All numbers</h2>{_table(['', ''], rows)}"


def _causes(summary: Summary) -> str:
    rows = [
        [f"{name}: {MEANING[name]}", str(summary.errors.count[name]), f"{summary.errors.cost[name]:.3f}"]
        for name in CAUSES
    ]
    note = "Costs are what AP50 would gain if these errors alone were put right; they need not add up."
    return f"<h2>Errors by cause</h2>{_table(['cause', 'how many', 'cost'], rows, note)}"


def _images(worst: Sequence[WorstImage]) -> str:
    if not worst:
        return ""
    legend = "Green: right. Red: wrong, with the cause. Yellow, dashed: missed."
    figures = "".join(map(_figure, worst))
    return f'<h2>The worst images</h2><p>{legend}</p><div class="images">{figures}</div>'


def _figure(each: WorstImage) -> str:
    if each.picture is None:
        image = "<p>This picture could not be read.</p>"
    else:
        image = f'<img alt="" src="{_data(_jpeg(each.picture), "jpeg")}">'
    words = f"{html.escape(each.name)}: {each.missed} missed, {each.wrong} wrong"
    return f"<figure>{image}<figcaption>{words}</figcaption></figure>"


def _table(head: list[str], rows: list[list[str]], note: str = "") -> str:
    top = "".join(f"<th>{html.escape(text)}</th>" for text in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>" for row in rows)
    caption = f"<caption>{html.escape(note)}</caption>" if note else ""
    return f"<table>{caption}<tr>{top}</tr>{body}</table>"


def _data(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _jpeg(picture: np.ndarray) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(picture).save(content, "JPEG", quality=82)
    return content.getvalue()
