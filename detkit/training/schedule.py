"""The course of the learning rate."""

from __future__ import annotations

import math


def learning_rate(step: int, settings) -> float:
    """The learning rate of a step (from 0): a linear warm-up, then constant or half a cosine down to zero.

    Args:
        settings: a `detkit.pipeline.settings.TrainConfig`.
    """
    warmup = min(settings.warmup_steps, settings.steps)
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    if settings.schedule == "constant":
        return settings.learning_rate
    done = (step - warmup) / max(1, settings.steps - warmup)
    return settings.learning_rate * 0.5 * (1.0 + math.cos(math.pi * done))
