"""Loading and saving detectors: config, label map and checkpoint together."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np

from detkit.checkpoint import reader, surgery, writer
from detkit.data import labelmap
from detkit.detection import borrow, mask_rcnn, pose
from detkit.detection.build import build
from detkit.detection.detector import Detector
from detkit.errors import CheckpointError
from detkit.io import atomic_write
from detkit.networks.network import VARIABLES
from detkit.pipeline import od_config
from detkit.zoo.source import ModelSource, locate

AVERAGED = ("head/box_head", "head/mask_head")  # parts of which new classes get the mean of the known ones


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


def transplant(
    source: ModelSource, classes, *, init="prior", keep_classes=False, reset=(), seed=0, backbone=None
) -> tuple:
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
        backbone: another model's ModelSource, from which only the backbone is taken, and then nothing else from
            anywhere: of `source` its config alone counts.

    Returns:
        (detector, the surgery's report).
    """
    classes = tuple(classes)
    if keep_classes:
        classes = source.classes + tuple(name for name in classes if name not in source.classes)
    detector = build(for_classes(source.config, classes), classes, name=source.name)
    detector.initialize(detector.variables(), seed)
    if backbone is not None:
        return detector, borrow.restore_backbone(detector, reader.open_checkpoint(backbone.checkpoint), seed)
    plan = surgery.Plan(reset=tuple(reset))
    if keep_classes:
        plan = surgery.Plan(tuple(reset), detector.unneeded, widening(detector, len(detector.classes)))
    elif classes != source.classes:
        plan = replacing_classes(detector, init, reset)
    report = surgery.apply(detector, reader.open_checkpoint(source.checkpoint), plan, seed)
    return detector, report


def for_classes(config, classes):
    """The config for other classes: their number, and no keypoints where no class has them."""
    family = od_config.architecture(config)
    config = mask_rcnn.with_depth(config) if family == "faster_rcnn" else config
    config = od_config.with_changes(config, {f"model.{family}.num_classes": len(classes)})
    return pose.for_classes(config, classes) if family == "center_net" else config


def replacing_classes(detector, init: str = "prior", reset=()) -> surgery.Plan:
    """The plan for classes that the checkpoint does not know.

    What has columns for the classes starts afresh, but for the boxes and masks of heads that predict them class by
    class: each new class starts from the mean of the known ones. Where other columns stand beside those of the classes
    (`ClassColumns.keeps`), these are restored.

    Args:
        detector: with the new classes.
        init, reset: as for `transplant`.
    """
    parts, columns = detector.part_of(), detector.class_columns()
    boxes = {path for path in columns if parts[path] in AVERAGED}
    shared = {path for path in columns if columns[path].keeps}
    afresh = {path: None for path in columns if path not in boxes}
    if init == "prior":
        afresh |= {path: None for path, part in parts.items() if part == "head/class_head"}
    afresh = [path for path in afresh if path not in shared]
    count, variables = len(detector.classes), detector.variables()
    convert = {path: partial(_mean_of_classes, columns=columns[path], count=count) for path in boxes}
    convert |= {
        path: partial(_with_others, fresh=variables[path].numpy(), columns=columns[path], count=count)
        for path in shared
    }
    return surgery.Plan((*(f"^{re.escape(path)}$" for path in afresh), *reset), detector.unneeded, convert)


def widening(detector, count: int) -> dict:
    """{path: conversion} that puts the stored classes' columns before those of the new classes, `count` in all."""
    variables, parts = detector.variables(), detector.part_of()
    conversions = {}
    for path, columns in detector.class_columns().items():
        fresh = variables[path].numpy()
        as_boxes = parts[path] in AVERAGED
        conversions[path] = partial(_widened, fresh=fresh, columns=columns, count=count, mean=as_boxes)
    return conversions


def _widened(stored: np.ndarray, fresh: np.ndarray, columns, count: int, mean: bool) -> np.ndarray:
    """`fresh` with the background's and the known classes' columns from `stored`; `mean`: the rest is their mean."""
    wide = (_mean_of_classes(stored, columns, count) if mean else fresh).copy()
    wide = wide.reshape(*fresh.shape[:-1], -1, columns.background + count, columns.width)
    narrow = stored.reshape(*stored.shape[:-1], wide.shape[-3], -1, columns.width)
    wide[..., : narrow.shape[-2], :] = narrow
    return wide.reshape(fresh.shape)


def _with_others(stored: np.ndarray, fresh: np.ndarray, columns, count: int) -> np.ndarray:
    """`fresh` with the stored columns that are no class's."""
    values = fresh.reshape(*fresh.shape[:-1], -1, columns.background + count, columns.width).copy()
    groups = values.shape[-3]
    if stored.shape[:-1] != fresh.shape[:-1] or stored.shape[-1] % (groups * columns.width):
        raise CheckpointError(
            "The checkpoint's class head is another one.",
            got=f"shape {stored.shape}",
            expected=f"{fresh.shape[:-1]} and a multiple of {groups * columns.width} columns",
            fix="Use the config that came with the checkpoint, with as many anchors.",
        )
    known = stored.reshape(*stored.shape[:-1], groups, -1, columns.width)
    values[..., : columns.background, :] = known[..., : columns.background, :]
    return values.reshape(fresh.shape)


def _mean_of_classes(stored: np.ndarray, columns, count: int) -> np.ndarray:
    """`count` classes in the place of the stored ones, each their mean; the background stays. For one group."""
    values = stored.reshape(*stored.shape[:-1], -1, columns.width)
    background, classes = np.split(values, [columns.background], axis=-2)
    mean = classes.mean(axis=-2, keepdims=True)
    made = np.concatenate([background, np.repeat(mean, count, axis=-2)], axis=-2)
    return made.reshape(*stored.shape[:-1], -1)


def save(detector: Detector, directory) -> None:
    """Writes a zoo-style model directory: pipeline.config, label_map.pbtxt, checkpoint/ckpt-0, `Detector.files`."""
    directory = Path(directory)
    save_checkpoint(detector, directory / "checkpoint")
    od_config.write(detector.config, directory / "pipeline.config")
    labelmap.write(directory / "label_map.pbtxt", dict(zip(detector.label_ids, detector.classes, strict=True)))
    for name, text in detector.files().items():
        with atomic_write(directory / name) as file:
            file.write(text)


def save_checkpoint(detector: Detector, directory) -> None:
    """Writes ckpt-0 into a directory, replacing an older one as a whole."""
    writer.save(detector.nodes, VARIABLES, directory)
