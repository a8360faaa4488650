"""What a layer's channels see in a picture, side by side. Source: Yosinski et al., "Deep visualization", 2015."""

from __future__ import annotations

import math

import numpy as np

_CELL, _GAP, _GROUND = 72, 2, 40


def strongest(maps: np.ndarray, count: int) -> np.ndarray:
    """The channels of maps [h, w, C] that vary most over the picture, int [N], the strongest first."""
    return np.argsort(-maps.std(axis=(0, 1)), kind="stable")[:count]


def channel_pictures(maps: np.ndarray, channels: np.ndarray) -> list[np.ndarray]:
    """Each of the channels of maps [h, w, C] as a picture uint8 [h, w, 3], from its lowest value to its highest."""
    import cv2

    pictures = []
    for channel in channels:
        values = maps[..., channel]
        spread = float(np.ptp(values)) or 1.0
        grey = np.rint((values - values.min()) / spread * 255).astype(np.uint8)
        pictures.append(cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS)[..., ::-1])
    return pictures


def grid(pictures: list[np.ndarray], columns: int | None = None, cell: int = _CELL) -> np.ndarray:
    """Small pictures uint8 [h, w, 3] of one size in rows, each `cell` pixels wide: uint8 [H, W, 3]."""
    import cv2

    columns = columns or math.ceil(math.sqrt(len(pictures) * 2))
    height = max(1, round(cell * pictures[0].shape[0] / pictures[0].shape[1]))
    rows = math.ceil(len(pictures) / columns)
    sheet = np.full((rows * (height + _GAP) + _GAP, columns * (cell + _GAP) + _GAP, 3), _GROUND, np.uint8)
    for n, picture in enumerate(pictures):
        top, left = _GAP + n // columns * (height + _GAP), _GAP + n % columns * (cell + _GAP)
        nearest = cv2.INTER_NEAREST if picture.shape[1] < cell else cv2.INTER_AREA
        sheet[top : top + height, left : left + cell] = cv2.resize(picture, (cell, height), interpolation=nearest)
    return sheet
