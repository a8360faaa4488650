"""Parts of HTML pages that need nothing else: cards, tables, plots, pictures."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from detkit.io import atomic_write

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


def write_page(path: str | Path, title: str, sections: Iterable[str]) -> None:
    """Writes a page of sections, which are HTML.

    Raises:
        ConfigError: if the path can't be written.
    """
    heading = html.escape(title)
    text = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{heading}</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>{heading}</h1>\n" + "\n".join(sections) + "\n</body></html>\n"
    )
    with atomic_write(path) as file:
        file.write(text)


def cards(numbers: Iterable[tuple[str, str, str]]) -> str:
    """The most important numbers, large: (name, value, what is to be said of it)."""
    boxes = (
        f'<div class="card">{html.escape(name)}<b>{html.escape(value)}</b><span>{html.escape(text)}</span></div>'
        for name, value, text in numbers
    )
    return f'<div class="cards">{"".join(boxes)}</div>'


def table(head: list[str], rows: list[list[str]], note: str = "") -> str:
    """A table with a caption; its cells are texts."""
    top = "".join(f"<th>{html.escape(text)}</th>" for text in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>" for row in rows)
    caption = f"<caption>{html.escape(note)}</caption>" if note else ""
    return f"<table>{caption}<tr>{top}</tr>{body}</table>"


def plot(content: bytes, wide: bool = False) -> str:
    """A PNG file's content as a part of the page."""
    return f'<img{" class=wide" if wide else ""} alt="" src="{_data(content, "png")}">'


def picture(pixels: np.ndarray | None, caption: str) -> str:
    """A picture uint8 [H, W, 3] with its caption; None is one that could not be read."""
    if pixels is None:
        image = "<p>This picture could not be read.</p>"
    else:
        image = f'<img alt="" src="{_data(_jpeg(pixels), "jpeg")}">'
    return f"<figure>{image}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _data(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _jpeg(pixels: np.ndarray) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=82)
    return content.getvalue()
