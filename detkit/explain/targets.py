"""What is to be explained: one thing that a model says about a picture, as a number that can be watched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from detkit.errors import ConfigError
from detkit.pipeline.fields import nearest
from detkit.text import some


@dataclass(frozen=True)
class Target:
    """One thing that a model says about a picture.

    Attributes:
        text: the words for it, such as "duck 0.98".
        class_id: the class; score: how sure the model is, 0..1.
        answer: how much of it is still there in other pictures, uint8 [N, h, w, 3] -> [N] of 0..1; needs no gradients.
        logit: what it is in the raw outputs of pictures, {name: tensor [B, ...]} -> [B], differentiable; None where
            only answers can be seen.
        box: where it is, float32 [4], normalised yxyx; None where it has no box.
        region: where it is, bool [h, w] of the picture that the model reads, or None.
    """

    text: str
    class_id: int
    score: float
    answer: Callable
    logit: Callable | None = None
    box: np.ndarray | None = None
    region: np.ndarray | None = None


def class_id_of(name: str, classes: tuple[str, ...]) -> int:
    """The index of a class; ConfigError, with the nearest name, if there is none."""
    if name not in classes:
        fix = nearest(name, classes)
        raise ConfigError("The model does not know this class.", got=name, expected=some(classes, 20), fix=fix)
    return classes.index(name)
