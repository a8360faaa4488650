"""What a model says of a picture, drawn on it."""

from __future__ import annotations

import numpy as np

from detkit.detections import Detections
from detkit.explain.subject import Subject
from detkit.segmentation.results import Segmented
from detkit.visualize.caption import draw_caption
from detkit.visualize.draw import draw
from detkit.visualize.figure import draw_class_map
from detkit.visualize.palette import colour

_SIDE, _CLASSES = 480, 5


def drawn(subject: Subject) -> np.ndarray:
    """The picture, uint8 [H, W, 3], with all that the model says of it: boxes, class map, or the likeliest classes."""
    result = subject.result
    image = proper(subject.image)
    if isinstance(result, Detections):
        return draw(image, result)
    if isinstance(result, Segmented):
        return draw_class_map(image, result.class_map)
    lines = [(f"{name} {score:.2f}", colour(result.classes.index(name))) for name, score in result.top(_CLASSES)]
    return draw_caption(image, lines)


def proper(image: np.ndarray) -> np.ndarray:
    """The image about as large as a sheet shows it, so that letters stay readable."""
    import cv2

    scale = _SIDE / max(image.shape[:2])
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
