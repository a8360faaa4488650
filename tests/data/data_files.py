"""Pictures and annotations for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def picture(path: Path, size=(60, 80), seed=0) -> Path:
    """Write a picture of random pixels of (height, width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def voc_xml(filename="1.jpg", objects=(("duck", 8, 6, 48, 36, 0),), size=(60, 80), extra="") -> str:
    """The text of a VOC annotation; objects are (name, xmin, ymin, xmax, ymax, difficult)."""
    things = "".join(
        f"<object><name>{n}</name><difficult>{d}</difficult><bndbox><xmin>{a}</xmin><ymin>{b}</ymin>"
        f"<xmax>{c}</xmax><ymax>{e}</ymax></bndbox></object>"
        for n, a, b, c, e, d in objects
    )
    shape = f"<size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>" if size else ""
    return f"{extra}<annotation><filename>{filename}</filename>{shape}{things}</annotation>"
