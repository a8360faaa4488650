"""Loading and saving detectors: config, label map and checkpoint together."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from detkit.checkpoint import reader, surgery, writer
from detkit.data import labelmap
from detkit.detection.build import build
from detkit.detection.detector import VARIABLES, Detector
from detkit.pipeline import od_config
from detkit.zoo.source import ModelSource, locate


def load(model, checkpoint=None) -> Detector:
    """A detector with its own classes and weights.

    Args:
        model: a zoo name, a directory with pipeline.config and a checkpoint (a run directory is one), or a
            pipeline.config.
        checkpoint: another checkpoint than the directory's own.

    Raises:
        ConfigError: if there is no such model, or detkit can't build it.
        CheckpointError: if the checkpoint can't be read, or does not cover the model.
    """
    source = locate(model, checkpoint)
    detector = build(source.config, source.classes, source.label_ids, source.name)
    surgery.apply(detector, reader.open_checkpoint(source.checkpoint))
    return detector


# The variables of a class head that have a column for every class; its depthwise kernel has none.
CLASS_COLUMNS = r"_class_predictor_layers/0/(kernel|pointwise_kernel|bias)$"


def transplant(source: ModelSource, classes, *, init="prior", keep_classes=False, reset=(), seed=0) -> tuple:
    """A detector for other classes on the weights of a pretrained one.

    Backbone, neck, towers and box head are restored. The class head is restored too if the classes are the same;
    else it starts from the prior, and with `keep_classes` the old classes keep their columns beside the new ones.

    Args:
        source: of `detkit.zoo.source.locate`.
        classes: the new class names.
        init: "prior" resets the whole class head; "imprint" leaves what does not depend on the classes, so that
            `detkit.training.imprint` has trained features to read.
        reset: further parts or regular expressions over paths that start afresh.
        seed: of what starts afresh.

    Returns:
        (detector, the surgery's report).
    """
    classes = tuple(classes)
    if keep_classes:
        classes = source.classes + tuple(name for name in classes if name not in source.classes)
    detector = build(with_class_count(source.config, len(classes)), classes, name=source.name)
    detector.initialize(detector.variables(), seed)
    plan = surgery.Plan(reset=tuple(reset))
    if keep_classes:
        plan = surgery.Plan(tuple(reset), convert=_widening(detector))
    elif classes != source.classes:
        plan = surgery.Plan(("head/class_head" if init == "prior" else CLASS_COLUMNS, *reset))
    report = surgery.apply(detector, reader.open_checkpoint(source.checkpoint), plan, seed)
    return detector, report


def with_class_count(config, count: int):
    """The config with another number of classes."""
    return od_config.with_changes(config, {f"model.{od_config.architecture(config)}.num_classes": count})


def _widening(detector) -> dict:
    """{class-head path: conversion} that puts the stored columns before those of the new classes."""
    variables, paths = detector.variables(), detector.part_of()
    conversions = {}
    for path in (path for path, part in paths.items() if part == "head/class_head"):
        if path.endswith("depthwise_kernel"):
            continue
        fresh = variables[path].numpy()
        conversions[path] = lambda stored, fresh=fresh: _columns(stored, fresh, detector.columns)
    return conversions


def _columns(stored: np.ndarray, fresh: np.ndarray, columns: int) -> np.ndarray:
    """`fresh` [..., anchors * columns] with the background's and the known classes' columns taken from `stored`."""
    wide = fresh.reshape(*fresh.shape[:-1], -1, columns).copy()
    narrow = stored.reshape(*stored.shape[:-1], wide.shape[-2], -1)
    wide[..., : narrow.shape[-1]] = narrow
    return wide.reshape(fresh.shape)


def save(detector: Detector, directory) -> None:
    """Writes a zoo-style model directory: pipeline.config, label_map.pbtxt, checkpoint/ckpt-0."""
    directory = Path(directory)
    save_checkpoint(detector, directory / "checkpoint")
    od_config.write(detector.config, directory / "pipeline.config")
    labelmap.write(directory / "label_map.pbtxt", dict(zip(detector.label_ids, detector.classes, strict=True)))


def save_checkpoint(detector: Detector, directory) -> None:
    """Writes ckpt-0 into a directory, replacing an older one as a whole."""
    writer.save(detector.nodes, VARIABLES, directory)
