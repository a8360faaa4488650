"""Detected objects as pictures of their own, a folder for each class."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from detkit.detections import Detections
from detkit.inference.sinks import Write, save_picture
from detkit.inference.sources import Frame


@contextmanager
def crops(directory: Path, margin: float = 0.0) -> Iterator[Write]:
    """Writes each detected object to DIRECTORY/CLASS/NAME-FRAME-NUMBER.jpg, cut out of the undrawn image.

    FRAME is missing for images; NUMBER is that of the detection in its frame, from 0, the surest first, or "track"
    and the id where the object is followed. The folders are what image classifiers are trained on.

    Args:
        directory: where the folders go.
        margin: how much wider each crop is on every side, as a part of the box's height and width.
    """

    def write(frame: Frame, found: Detections, picture: np.ndarray | None) -> None:
        for n, (top, left, bottom, right) in enumerate(_pixels(found, margin)):
            if top < bottom and left < right:
                name = f"{_stem(frame)}-{_number(found, n)}.jpg"
                target = directory / re.sub(r"[^\w. -]+", "_", found.labels[n]) / name
                save_picture(frame.image[top:bottom, left:right], target)

    yield write


def _pixels(found: Detections, margin: float) -> np.ndarray:
    """The boxes with their margin as whole pixels inside the image, int [N, 4] top, left, bottom, right."""
    sides = np.tile(found.boxes[:, 2:] - found.boxes[:, :2], 2)  # [N, 4] height, width, height, width
    wider = found.boxes + margin * sides * np.array([-1, -1, 1, 1])
    scaled = np.clip(wider, 0, 1) * np.tile(found.size, 2)  # [N, 4] * [4]
    return np.concatenate([np.floor(scaled[:, :2] + 1e-3), np.ceil(scaled[:, 2:] - 1e-3)], axis=1).astype(int)


def _stem(frame: Frame) -> str:
    return frame.path.stem if frame.index is None else f"{frame.path.stem}-{frame.index:06}"


def _number(found: Detections, n: int) -> str:
    followed = found.track_ids is not None and found.track_ids[n] >= 0
    return f"track{found.track_ids[n]}" if followed else str(n)
