"""Baselines on disk: baseline.json, weights.npz and the model whose backbone they use. No pickle."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from detkit.baselines.linear import Linear, Scaling
from detkit.errors import CheckpointError, ConfigError
from detkit.io import atomic_write, make_directory, read_arrays, read_json, write_json

FILE, WEIGHTS, MODEL = "baseline.json", "weights.npz", "model"


def is_baseline(directory) -> bool:
    """Whether a directory holds a baseline."""
    return (Path(directory) / FILE).is_file()


def save(baseline, directory) -> None:
    """Writes a trained baseline, with the model that its features come from; `detkit.load` reads it.

    Raises:
        ConfigError: for a sliding window with a classifier of one's own, or a directory that can't be written.
    """
    from detkit.detection import load as models

    directory = make_directory(directory)
    backbone, description, arrays = _parts(baseline)
    models.save(backbone.detector, directory / MODEL)
    with atomic_write(directory / WEIGHTS, "wb") as file:
        np.savez(file, **arrays)
    common = {"name": baseline.name, "classes": baseline.classes, "label_ids": baseline.label_ids}
    write_json(directory / FILE, description | common | {"block": backbone.block})


def _parts(baseline) -> tuple:
    """(backbone, what baseline.json says, {name: array})."""
    from detkit.baselines.rcnn import RCNN
    from detkit.baselines.sliding_window import WindowClassifier

    if isinstance(baseline, RCNN):
        models = {"linear": baseline.linear, "regression": baseline.regression, "scaling": baseline.scaling}
        return baseline.backbone, {"kind": "rcnn", "settings": asdict(baseline.settings)}, _flat(models)
    classifier = baseline.classify
    if not isinstance(classifier, WindowClassifier):
        raise ConfigError(
            "Only a sliding window that detkit trained can be saved.",
            got=f"the classifier {type(classifier).__name__}",
            fix="Keep the code of your own classifier, and build the sliding window again.",
        )
    settings = {"cells": classifier.cells, "shared": baseline.shared, "pyramid": asdict(baseline.pyramid)}
    arrays = _flat({"linear": classifier.linear, "scaling": classifier.scaling})
    return classifier.backbone, {"kind": "sliding window", "settings": settings}, arrays


def _flat(models: dict) -> dict:
    return {f"{name}/{field}": value for name, model in models.items() for field, value in vars(model).items()}


def load(directory):
    """A baseline that `save` wrote.

    Raises:
        DataError: if baseline.json can't be read.
        CheckpointError: if the weights can't be read, or are not those that baseline.json describes.
    """
    directory = Path(directory)
    description = read_json(directory / FILE)
    try:
        arrays = read_arrays(directory / WEIGHTS)
        return _build(description, arrays, directory / MODEL)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            "This baseline is damaged or incomplete.",
            where=directory,
            got=f"{type(error).__name__}: {error}",
            expected=f"{FILE}, {WEIGHTS} and {MODEL}/ as detkit wrote them",
            fix="Copy the whole directory again, or train the baseline again.",
        ) from error


def _build(description: dict, arrays: dict, model: Path):
    from detkit.baselines import rcnn, sliding_window
    from detkit.baselines.features import Backbone

    backbone, settings = Backbone(model, description["block"]), description["settings"]
    scaling, linear = _grouped(Scaling, "scaling", arrays), _grouped(Linear, "linear", arrays)
    names = {"classes": description["classes"], "label_ids": description["label_ids"], "name": description["name"]}
    if description["kind"] == "rcnn":
        regression = _grouped(Linear, "regression", arrays)
        names["settings"] = rcnn.RCNNSettings(**settings)
        return rcnn.RCNN(backbone, scaling=scaling, linear=linear, regression=regression, **names)
    classifier = sliding_window.WindowClassifier(backbone, settings["cells"], scaling, linear)
    pyramid = sliding_window.Pyramid(**settings["pyramid"])
    return sliding_window.SlidingWindow(classifier, window=classifier.window, stride=backbone.stride,
                                        pyramid=pyramid, shared=settings["shared"], **names)  # fmt: skip


def _grouped(kind, name: str, arrays: dict):
    return kind(**{field: arrays[f"{name}/{field}"] for field in kind.__dataclass_fields__})
