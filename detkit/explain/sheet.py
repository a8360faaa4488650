"""An explanation on one sheet: a PNG, or an HTML page that needs nothing else."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np

from detkit.explain.explanation import Explanation, coloured, scaled
from detkit.io import atomic_write
from detkit.visualize.draw import blend, draw_marks, text_mask
from detkit.visualize.sheet import fitted, save

_CELL, _GAP, _GROUND, _LETTERS, _FAINT = 360, 20, (255, 255, 255), (30, 30, 30), (110, 110, 110)
_BOX = (255, 255, 255)
_BAR, _COLUMNS = 12, 4
_WORDS = {
    "deletion": "deletion {:.3f}",
    "insertion": "insertion {:.3f}",
    "top_in_box": "top 5% in the box {:.0%}",
    "energy_in_box": "all in the box {:.0%}",
    "pointed": "highest point in the box: {}",
    "random_head": "like random head {:+.2f}",
    "random_all": "like random weights {:+.2f}",
    "seconds": "{:.1f} s",
}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1560px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.4em; } .panels { display: flex; flex-wrap: wrap; gap: 1.2em; } figure { margin: 0; width: 360px; }
figure.wide { width: 100%; } figure img { max-width: 100%; border-radius: 3px; } figcaption { font-size: .9em; }
figcaption span { color: #666; display: block; }
"""


class Panel(NamedTuple):
    """One picture of the sheet, uint8 [H, W, 3], its title, the lines below, and the top value of its colour scale."""

    picture: np.ndarray
    title: str
    lines: tuple[str, ...] = ()
    top: float | None = None


def write_sheet(explanation: Explanation, path: str | Path) -> None:
    """Writes the sheet as PNG or, where the path ends in .html, as HTML.

    Raises:
        ConfigError: if the path can't be written.
    """
    if Path(path).suffix == ".html":
        with atomic_write(path) as file:
            file.write(page(explanation))
    else:
        save(sheet(explanation), path)


def panels(explanation: Explanation) -> list[Panel]:
    """Input, prediction, and a panel for each map."""
    found = [Panel(explanation.picture, "input"), Panel(explanation.prediction, "prediction", (explanation.target,))]
    for method, saliency in explanation.maps.items():
        drawn = _boxed(explanation.overlay(method), explanation.box)
        at = (f"at {explanation.layer}",) if method.startswith("grad-cam") else ()
        numbers = _lines(explanation.numbers.get(method, {}))
        found.append(Panel(drawn, method, (*at, *numbers), scaled(saliency)[1]))
    return found


def sheet(explanation: Explanation) -> np.ndarray:
    """The sheet as a picture, uint8 [H, W, 3]."""
    shown = panels(explanation)
    columns = min(_COLUMNS, len(shown))
    width = columns * (_CELL + _GAP) + _GAP
    rows = [_row(shown[n : n + columns], width) for n in range(0, len(shown), columns)]
    rows += [part for words, grid in explanation.grids.items() for part in (_text(words, width), _wide(grid, width))]
    return np.concatenate([_text(_heading(explanation), width, 19), *rows, _blank(_GAP, width)])


def page(explanation: Explanation) -> str:
    """The sheet as HTML with its pictures in it."""
    heading = html.escape(_heading(explanation))
    figures = [
        _figure(_with_bar(_cell(each.picture), each.top), each.title, each.lines) for each in panels(explanation)
    ]
    wide = [_figure(grid, words, (), "wide") for words, grid in explanation.grids.items()]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{heading}</title>'
        f'<style>{_STYLE}</style></head>\n<body><h1>{heading}</h1>\n<div class="panels">'
        + "\n".join([*figures, *wide])
        + "</div></body></html>\n"
    )


def _heading(explanation: Explanation) -> str:
    return "   ".join(filter(None, (Path(explanation.source).name, explanation.target, f"by {explanation.model}")))


def _lines(numbers: dict) -> list[str]:
    """The figures in words, two on a line where they belong together."""
    words = {name: text.format(_plain(numbers[name])) for name, text in _WORDS.items() if name in numbers}
    pairs = (("deletion", "insertion"), ("top_in_box", "energy_in_box"), ("pointed",), ("random_head", "random_all"))
    lines = [", ".join(words[name] for name in pair if name in words) for pair in (*pairs, ("seconds",))]
    return [line for line in lines if line]


def _plain(value):
    return ("no", "yes")[value] if isinstance(value, bool) else value


def _boxed(picture: np.ndarray, box) -> np.ndarray:
    return picture if box is None else draw_marks(picture, box[None], [""], [_BOX])


def _cell(picture: np.ndarray) -> np.ndarray:
    """The picture as wide as a cell."""
    if picture.shape[1] >= _CELL:
        return fitted(picture, (4 * _CELL, _CELL))
    import cv2

    height = max(1, round(picture.shape[0] * _CELL / picture.shape[1]))
    return cv2.resize(picture, (_CELL, height), interpolation=cv2.INTER_CUBIC)


def _with_bar(picture: np.ndarray, top: float | None) -> np.ndarray:
    """The picture above its colour scale, from 0 to the top value; above nothing where it has none."""
    width = picture.shape[1]
    if top is None:
        return np.concatenate([picture, _blank(_BAR + 26, width)])
    bar = np.repeat(coloured(np.linspace(0, 1, width, dtype=np.float32)[None]), _BAR, axis=0)
    scale = _blank(22, width)
    _write(scale, "0", 0, 0, 12, _FAINT)
    label = f"{top:.3g}"
    _write(scale, label, 0, width - text_mask(label, 12).shape[1], 12, _FAINT)
    return np.concatenate([picture, _blank(4, width), bar, scale])


def _row(shown: list[Panel], width: int) -> np.ndarray:
    """Panels side by side, titles above, lines below."""
    pictures = [_with_bar(_cell(panel.picture), panel.top) for panel in shown]
    height = max(picture.shape[0] for picture in pictures)
    row = _blank(28 + height + 20 * max(len(panel.lines) for panel in shown) + _GAP, width)
    for n, (panel, picture) in enumerate(zip(shown, pictures, strict=True)):
        left = _GAP + n * (_CELL + _GAP)
        _write(row, panel.title, 0, left, 16, _LETTERS)
        row[28 : 28 + picture.shape[0], left : left + _CELL] = picture
        for i, line in enumerate(panel.lines):
            _write(row, line, 28 + height + 20 * i, left, 13, _LETTERS)
    return row


def _text(words: str, width: int, size: int = 16) -> np.ndarray:
    line = _blank(size + 30, width)
    _write(line, words, 10, _GAP, size, _LETTERS)
    return line


def _wide(picture: np.ndarray, width: int) -> np.ndarray:
    small = fitted(picture, (10_000, width - 2 * _GAP)) if picture.shape[1] > width - 2 * _GAP else picture
    row = _blank(small.shape[0], width)
    row[:, _GAP : _GAP + small.shape[1]] = small
    return row


def _write(canvas: np.ndarray, words: str, top: int, left: int, size: int, letters) -> None:
    mask = text_mask(words, size)
    target = canvas[top : top + mask.shape[0], left : left + mask.shape[1]]
    blend(target, mask[: target.shape[0], : target.shape[1]], letters, _GROUND)


def _blank(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), _GROUND, np.uint8)


def _figure(picture: np.ndarray, title: str, lines, kind: str = "") -> str:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    data = base64.b64encode(content.getvalue()).decode("ascii")
    below = "".join(f"<span>{html.escape(line)}</span>" for line in lines)
    return (
        f'<figure class="{kind}"><figcaption><b>{html.escape(title)}</b></figcaption>'
        f'<img alt="" src="data:image/png;base64,{data}"><figcaption>{below}</figcaption></figure>'
    )
