"""Curves as PNG files."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from detkit.errors import ConfigError, DataError
from detkit.evaluation import plots
from detkit.evaluation.metrics import Metrics


def metrics(classes: int) -> Metrics:
    names = [f"class {n}" for n in range(classes)]
    curves = {name: np.linspace(1, n / 20, 101) for n, name in enumerate(names)}
    per_class = {name: {"AP": 0.5, "AP50": 0.5, "AR100": 0.6, "boxes": 3} for name in names}
    return Metrics({"AP": 0.5, "AP50": 0.5}, per_class, curves, 4, 3 * classes, 10)


def colours(path) -> set:
    with Image.open(path) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    return set(map(tuple, pixels.tolist()))


@pytest.mark.parametrize("classes, coloured", [(1, True), (5, True), (30, False)])
def test_pr_curve_colours_few_classes_and_greys_many(tmp_path, classes, coloured):
    plots.pr_curve(metrics(classes), tmp_path / "pr.png")
    seen = colours(tmp_path / "pr.png")
    assert ((0, 114, 178) in seen) == coloured
    assert [file.name for file in tmp_path.iterdir()] == ["pr.png"]


def test_pr_curve_without_boxes_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no class has a ground truth box"):
        plots.pr_curve(metrics(0), tmp_path / "pr.png")


ROWS = [{"step": n, "loss": 1 / n, "learning_rate": 0.1, "AP": n / 90 if n % 30 == 0 else ""} for n in range(1, 91)]


def test_training_curves_have_a_panel_for_each_kind_of_column(tmp_path):
    plots.training_curves(ROWS, tmp_path / "three.png")
    plots.training_curves([{"loss": 2.0}, {"loss": 1.0}], tmp_path / "one.png")
    with Image.open(tmp_path / "three.png") as three, Image.open(tmp_path / "one.png") as one:
        assert three.height > 2 * one.height


def test_training_curves_from_csv_are_those_from_rows(tmp_path):
    lines = [",".join(ROWS[0])] + [",".join(str(value) for value in row.values()) for row in ROWS]
    (tmp_path / "history.csv").write_text("\n".join(lines))
    plots.training_curves(tmp_path / "history.csv", tmp_path / "file.png")
    plots.training_curves(ROWS, tmp_path / "rows.png")
    assert (tmp_path / "file.png").read_bytes() == (tmp_path / "rows.png").read_bytes()


@pytest.mark.parametrize("rows", [[], [{"step": 1, "seconds": 2.0}], [{"loss": ""}]])
def test_training_curves_without_a_loss_are_an_error(tmp_path, rows):
    with pytest.raises(DataError, match="There is no loss to draw"):
        plots.training_curves(rows, tmp_path / "curves.png")


def test_training_curves_of_a_missing_file_are_an_error(tmp_path):
    with pytest.raises(DataError, match=r"Can't read this CSV file(.|\n)*history\.csv"):
        plots.training_curves(tmp_path / "history.csv", tmp_path / "curves.png")


def test_a_path_below_a_file_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="Can't write"):
        plots.pr_curve(metrics(1), tmp_path / "file" / "pr.png")


def test_plots_leave_the_global_figure_manager_alone(tmp_path):
    plots.training_curves(ROWS, tmp_path / "curves.png")
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def test_the_running_mean_looks_back_only():
    means = plots._running_mean(np.array([3.0, 1.0, 5.0, 9.0]), window=2)
    assert means.tolist() == [3, 2, 3, 7]


def test_any_name_can_be_drawn(tmp_path):
    names = ("$x_{$", "_hidden", "人", "a" * 99)
    drawn = metrics(4)
    drawn = replace(drawn, pr_curves=dict(zip(names, drawn.pr_curves.values(), strict=True)))
    drawn = replace(drawn, per_class=dict(zip(names, drawn.per_class.values(), strict=True)))
    texts = [text.get_text() for text in plots.curves(drawn).axes[0].get_legend().get_texts()]
    assert len(texts) == 5 and max(map(len, texts)) < 50  # a curve each, and their mean
    plots.pr_curve(drawn, tmp_path / "curve.png")
    assert colours(tmp_path / "curve.png")
