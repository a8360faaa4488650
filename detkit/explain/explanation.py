"""`Explanation`: the maps of a picture, their numbers, and how both become pictures."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from detkit.explain.cam import enlarged

_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601 luma
_TOP = 99.7  # the percentile that the end of the colour scale stands for: single pixels stick out


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a model says something of a picture.

    Attributes:
        source: the file, "" if there is none.
        model: the model's name.
        target: what is explained, such as "duck 0.98".
        picture: uint8 [H, W, 3], the image, as large as sheets need it.
        prediction: uint8 [H, W, 3], the picture with what the model says of it.
        box: where the detection is, float32 [4], normalised yxyx; None where there is none.
        layer: the layer whose maps were looked at, or None.
        maps: {method: float32 [h, w]}, over the whole picture; the higher, the more a place matters.
        numbers: {method: {name of a figure: value}}.
        grids: {words: uint8 [H, W, 3]}, more pictures.
    """

    source: str
    model: str
    target: str
    picture: np.ndarray
    prediction: np.ndarray
    box: np.ndarray | None
    layer: str | None
    maps: dict = field(default_factory=dict)
    numbers: dict = field(default_factory=dict)
    grids: dict = field(default_factory=dict)

    def to_json(self) -> dict:
        """All but the pictures."""
        box = None if self.box is None else [round(float(side), 5) for side in self.box]
        plain = {name: getattr(self, name) for name in ("source", "model", "target", "layer")}
        return plain | {"box": box, "methods": self.numbers}

    def overlay(self, method: str) -> np.ndarray:
        """A method's map over the picture, uint8 [H, W, 3]."""
        return overlay(self.picture, self.maps[method])


def scaled(saliency: np.ndarray) -> tuple[np.ndarray, float]:
    """A map [h, w] as shares 0..1 of its top value, and that value; what is negative is 0."""
    positive = np.maximum(saliency, 0.0)
    top = float(np.percentile(positive, _TOP)) or float(positive.max())
    return np.clip(positive / top, 0.0, 1.0) if top > 0 else positive, top


def overlay(picture: np.ndarray, saliency: np.ndarray) -> np.ndarray:
    """A map [h, w] in colours over a grey picture uint8 [H, W, 3]; where it is 0 the picture alone is seen."""
    shares = enlarged(scaled(saliency)[0], picture.shape[:2])
    grey = (picture @ _GREY)[..., None] * 0.75 + 32
    opacity = np.minimum(1.5 * shares, 0.8)[..., None]
    return np.rint(grey * (1 - opacity) + coloured(shares) * opacity).astype(np.uint8)


def coloured(shares: np.ndarray) -> np.ndarray:
    """Shares 0..1 [h, w] on the colour scale: uint8 [h, w, 3]."""
    import cv2

    return cv2.applyColorMap(np.rint(shares * 255).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
