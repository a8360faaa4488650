"""Every method by its name: from a subject to a map over its picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from detkit.errors import ConfigError
from detkit.explain import cam, gradients, perturbation
from detkit.explain.options import How
from detkit.explain.subject import Subject


def explain_by(method: str, subject: Subject, how: How, show_progress: bool | None = False) -> np.ndarray:
    """The map of a method, float32 [h, w] of the subject's picture; the higher, the more a place matters.

    Args:
        method: of `detkit.explain.options.METHODS`.
        how: masks, cells and seed of the methods that need them.

    Raises:
        ConfigError: for a method that the model has not what it takes for.
    """
    return _METHODS[method](subject, how, show_progress)


def default_methods(subject: Subject) -> tuple[str, ...]:
    """The methods that suit a model."""
    outside = "rise" if subject.target.box is None else "d-rise"
    return (outside,) if subject.view is None else ("grad-cam", outside)


def _grad_cam(subject, how, show):
    return _located(subject, cam.grad_cam(subject.maps, subject.derivatives))


def _grad_cam_plus_plus(subject, how, show):
    return _located(subject, cam.grad_cam_plus_plus(subject.maps, subject.derivatives))


def _located(subject: Subject, weighted: np.ndarray) -> np.ndarray:
    """The weighted maps over the picture; those of a detection only as far as its logit depends on each place."""
    if subject.target.box is not None:
        weighted = weighted * cam.sensitivity(subject.derivatives)
    return subject.fitted(weighted)


def _cam(subject, how, show):
    found = subject.inside("cam").pooled()
    if found is None:
        raise ConfigError(
            "CAM needs a global average pooling whose means a dense layer weighs.",
            got=subject.model.name,
            fix="Use grad-cam, which is the same where there is one, and needs none.",
        )
    layer, weights = found
    maps = subject.view.map_of(layer, subject.x[None])[0].numpy()
    return subject.fitted(cam.cam(maps, cam.class_weights(weights, subject.target.class_id)))


def _saliency(subject, how, show):
    subject.inside("saliency")
    return gradients.saliency(subject.logit, subject.x)


def _smooth_grad(subject, how, show):
    subject.inside("smoothgrad")
    return gradients.smooth_grad(subject.logit, subject.x, seed=how.seed)


def _integrated_gradients(subject, how, show):
    subject.inside("integrated-gradients")
    return np.abs(gradients.integrated_gradients(subject.logit, subject.x).sum(axis=-1))


def _occlusion(subject, how, show):
    return perturbation.occlusion(subject.target.answer, subject.picture, show_progress=show)


def _rise(subject, how, show):
    options = {"masks": how.masks, "cells": how.cells, "seed": how.seed, "show_progress": show}
    return perturbation.rise(subject.target.answer, subject.picture, **options)


_METHODS: dict[str, Callable] = {
    "grad-cam": _grad_cam,
    "grad-cam++": _grad_cam_plus_plus,
    "cam": _cam,
    "saliency": _saliency,
    "smoothgrad": _smooth_grad,
    "integrated-gradients": _integrated_gradients,
    "occlusion": _occlusion,
    "rise": _rise,
    "d-rise": _rise,
}
