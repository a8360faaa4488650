"""Pipelines in Model Garden's own YAML, as its trainer takes and writes them: what each option is in detkit.

What has no equal stays in the overrides of the model, where `detkit.garden.build.unread` finds it.
"""

from __future__ import annotations

import copy
import glob
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from detkit.errors import ConfigError
from detkit.pipeline import yaml_format
from detkit.pipeline.fields import nearest

SECTIONS = ("experiment", "task", "trainer", "runtime")
NUMBERS = "numbers"  # stands for a label map where classes have no other names
_TRAIN, _OPTIMIZER = "task.train_data", "trainer.optimizer_config"
_EQUAL = {
    "trainer.train_steps": "train.steps",
    "trainer.validation_interval": "train.validate_every",
    "trainer.checkpoint_interval": "train.checkpoint_every",
    f"{_TRAIN}.global_batch_size": "train.batch_size",
    f"{_TRAIN}.seed": "train.seed",
    "task.losses.l2_weight_decay": "train.weight_decay",
    f"{_OPTIMIZER}.ema.average_decay": "train.ema",
}
_CLIP = {"global_clipnorm": "train.clip_norm"}
_SGD = ("momentum", {"momentum": "train.momentum"} | _CLIP)
_OPTIMIZERS = {
    "sgd": _SGD,
    "sgd_experimental": _SGD,
    "adam": ("adam", _CLIP),
    "adam_experimental": ("adam", _CLIP),
    "adamw": ("adamw", {"weight_decay_rate": "train.weight_decay", "gradient_clip_norm": "train.clip_norm"}),
    "adamw_experimental": ("adamw", {"weight_decay": "train.weight_decay"} | _CLIP),
}
_LIKELY = (  # keys of task.model, and the experiments that have them
    ({"num_queries", "num_encoder_layers"}, ("detr_coco", "detr_coco_tfrecord")),
    ({"darknet_based_model", "anchor_boxes"}, ("yolo_darknet", "scaled_yolo", "coco_yolov7", "coco_yolov7tiny")),
    (
        {"rpn_head", "detection_head", "roi_sampler", "mask_head", "include_mask"},
        ("fasterrcnn_resnetfpn_coco", "maskrcnn_resnetfpn_coco", "cascadercnn_spinenet_coco"),
    ),
    ({"mask_scoring_head"}, ("semantic_segmentation", "seg_deeplabv3plus_pascal", "mnv2_deeplabv3_pascal")),
    (
        {"head", "anchor", "detection_generator", "backbone", "decoder"},
        ("retinanet", "retinanet_resnetfpn_coco", "retinanet_spinenet_coco", "retinanet_mobile_coco"),
    ),
)
_SEGMENTATION = ("seg_", "semantic_segmentation", "mnv2_deeplab")  # how its experiments begin


def is_layout(values) -> bool:
    """Whether the values of a YAML file are laid out as Model Garden's and not as detkit's."""
    if not isinstance(values, Mapping) or not values:
        return False
    task = values.get("task")
    return isinstance(task, Mapping) or (task is None and set(values) <= set(SECTIONS))


def own(override: str) -> bool:
    """Whether an override KEY=VALUE is of an option of Model Garden."""
    key = override.partition("=")[0].strip()
    return key == "experiment" or key.startswith(tuple(f"{name}." for name in SECTIONS[1:]))


def translate(values: Mapping, places: Mapping[str, str], path: Path, overrides: Iterable[str] = ()) -> tuple:
    """A pipeline in detkit's own layout, and the places of its keys in the file.

    Args:
        values, places: of `yaml_format.loads`.
        path: of the file. Relative paths in it are those of the working directory, as in Model Garden, or else of the
            file's folder.
        overrides: of Model Garden's options, KEY=VALUE.

    Raises:
        ConfigError: if no experiment is named, for keys that are none of Model Garden's, and for values that can't be.
    """
    file = _File(values, dict(places), path)
    for override in overrides:
        file.override(override)
    for name in file.rest:
        if name not in SECTIONS:
            raise file.error(name, "A pipeline in Model Garden's layout has no such key.", nearest(name, SECTIONS))
    _translate_training(file)
    _translate_data(file)
    name = _experiment(file)
    _resolve_checkpoint(file)
    if name.startswith(_SEGMENTATION):
        file.made["task"] = "segmentation"
    file.set("model.name", f"garden:{name}", "experiment")
    file.set("model.config", file.rest, "task")
    return file.made, file.places


class _File:
    """A file that is being translated.

    Attributes:
        rest: what is not translated yet; made: what is; places: of the keys of both.
    """

    def __init__(self, values: Mapping, places: dict, path: Path):
        self.rest, self.made, self.places, self.path = copy.deepcopy(dict(values)), {}, places, path

    def override(self, text: str) -> None:
        """Sets one option of Model Garden."""
        key, _, value = text.partition("=")
        *parents, last = key.strip().split(".")
        node = self.rest
        for name in parents:
            if not isinstance(node.get(name) or {}, dict):
                raise ConfigError(f"{name} has no keys below it.", where=f"--set {text}")
            node[name] = node = node.get(name) or {}
        node[last] = yaml_format.loads(value, f"--set {text}")[0]
        self.places[key.strip()] = f"--set {text}"

    def get(self, key: str):
        """The value at a dotted path, None if there is none."""
        node = self.rest
        for name in key.split("."):
            node = node.get(name) if isinstance(node, dict) else None
        return node

    def take(self, key: str):
        """As `get`; the value is not left in the rest."""
        *parents, last = key.split(".")
        value, above = self.get(key), self.get(".".join(parents)) if parents else self.rest
        if isinstance(above, dict):
            above.pop(last, None)
        if parents and above == {}:
            self.take(".".join(parents))
        return value

    def set(self, key: str, value, source: str) -> None:
        """Sets an option of detkit, in the place of one of Model Garden."""
        node, (*parents, last) = self.made, key.split(".")
        for name in parents:
            node = node.setdefault(name, {})
        node[last] = value
        self.places[key] = self.place(source)

    def place(self, key: str) -> str:
        """Where a key is, or what holds it."""
        while key and key not in self.places:
            key = key.rpartition(".")[0]
        return self.places.get(key, str(self.path))

    def error(self, key: str, what: str, fix: str | None = None, **more) -> ConfigError:
        """An error at a key."""
        return ConfigError(what, where=f"{self.place(key)}: {key}", fix=fix, **more)

    def chosen(self, key: str) -> str | None:
        """Of the options below a key, of which only one counts, the one that does."""
        below = self.get(key)
        if not isinstance(below, dict):
            return None
        named = [name for name in below if name != "type"]
        return below.get("type") or (named[0] if len(named) == 1 else None)


def _translate_training(file: _File) -> None:
    for key, ours in _EQUAL.items():
        value = file.get(key)
        if value is None or value == 0 and ours != "train.seed":  # not said, or off
            continue
        file.set(ours, file.take(key), key)
    _translate_optimizer(file)
    _translate_schedule(file)
    freezes = file.get("task.freeze_backbone")
    if isinstance(freezes, bool):
        file.take("task.freeze_backbone")
        if freezes:
            file.set("train.tune", "neck", "task.freeze_backbone")
    for section in (f"{_TRAIN}.parser", _TRAIN):  # where those for segmentation have it
        _translate_augmentation(file, section)


def _translate_optimizer(file: _File) -> None:
    key = f"{_OPTIMIZER}.optimizer"
    kind = file.chosen(key)
    if kind not in _OPTIMIZERS:
        return
    ours, options = _OPTIMIZERS[kind]
    file.set("train.optimizer", ours, key)
    for name, option in options.items():
        if file.get(f"{key}.{kind}.{name}") is not None:
            file.set(option, file.take(f"{key}.{kind}.{name}"), f"{key}.{kind}.{name}")
    file.take(f"{key}.type")


def _translate_schedule(file: _File) -> None:
    key = f"{_OPTIMIZER}.learning_rate"
    kind = file.chosen(key)
    course = f"{key}.{kind}"
    if kind == "constant":
        _take_rate(file, f"{course}.learning_rate", kind, f"{key}.type")
    elif kind == "cosine":
        _take_rate(file, f"{course}.initial_learning_rate", kind, f"{key}.type")
        steps = file.made.get("train", {}).get("steps")
        if steps is not None and file.get(f"{course}.decay_steps") == steps:
            file.take(f"{course}.decay_steps")
    elif kind is not None:  # the highest rate of a course that detkit does not have
        values = file.get(f"{course}.values")
        highest = values[0] if isinstance(values, list) and values else file.get(f"{course}.initial_learning_rate")
        if highest is not None:
            file.set("train.learning_rate", highest, course)
    warmup = f"{_OPTIMIZER}.warmup"
    if file.chosen(warmup) == "linear" and file.get(f"{warmup}.linear.warmup_steps") is not None:
        file.set("train.warmup_steps", file.take(f"{warmup}.linear.warmup_steps"), f"{warmup}.linear")
        file.take(f"{warmup}.type")


def _take_rate(file: _File, key: str, schedule: str, kind: str) -> None:
    file.set("train.schedule", schedule, key)
    if file.get(key) is not None:
        file.set("train.learning_rate", file.take(key), key)
    file.take(kind)


def _translate_augmentation(file: _File, key: str) -> None:
    """Flips and scales, in the words of `train.augment`."""
    views = {}
    flip, least, most = (file.get(f"{key}.aug_{name}") for name in ("rand_hflip", "scale_min", "scale_max"))
    if isinstance(flip, bool):
        views["flip"] = 0.5 if flip else 0.0
        file.take(f"{key}.aug_rand_hflip")
    if _is_number(least) and least > 0:
        views["zoom_out"] = max(1.0, 1.0 / least)
        file.take(f"{key}.aug_scale_min")
    if _is_number(most) and most > 0:
        views["zoom_in"] = max(1.0, float(most))
        file.take(f"{key}.aug_scale_max")
    if views:
        file.set("train.augment", views, key)


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _translate_data(file: _File) -> None:
    for section, ours in ((_TRAIN, "data.train"), ("task.validation_data", "data.val")):
        given = file.get(f"{section}.input_path")
        paths = given if isinstance(given, list) else [given]
        if not given or not all(isinstance(path, str) for path in paths):
            continue
        parts = [part.strip() for path in paths for part in path.split(",")]
        found = [_located(part, file.path.parent) for part in parts if part]
        file.set(ours, ",".join(found), f"{section}.input_path")
        file.take(f"{section}.input_path")
    beside = file.path.parent / "label_map.pbtxt"
    file.set("data.label_map", os.path.abspath(beside) if beside.is_file() else NUMBERS, "task")
    records = file.made.get("data", {}).get("train")
    known = beside if beside.is_file() else Path(records.partition(",")[0]).parent / beside.name if records else beside
    if known.is_file():
        file.rest["label_map"] = os.path.abspath(known)


def _located(path: str, folder: Path) -> str:
    """An absolute path or pattern, of the working directory, or else of a folder."""
    path = os.path.expanduser(path)
    beside = os.path.join(folder, path)
    if "://" in path or os.path.isabs(path):
        return path
    return os.path.abspath(beside if _matched(beside) and not _matched(path) else path)


def _matched(path: str) -> bool:
    """Whether there are files of a pattern, "train@10" for shards being one too."""
    return bool(glob.glob(re.sub(r"@\d+$", "-*", path)))


def _resolve_checkpoint(file: _File) -> None:
    """Makes the path of task.init_checkpoint absolute, so that it is the same wherever the run is."""
    given = file.get("task.init_checkpoint")
    if not isinstance(given, str) or not given or "://" in given:
        return
    places = [os.path.expanduser(given), os.path.join(file.path.parent, os.path.expanduser(given))]
    there = [place for place in places if os.path.exists(place) or os.path.exists(f"{place}.index")]
    file.rest["task"]["init_checkpoint"] = os.path.abspath((there or places)[0])


def _experiment(file: _File) -> str:
    """The experiment that is named in the file or, for what detkit has written, beside it."""
    name = file.take("experiment") or _experiment_beside(file.path)
    if isinstance(name, str) and name:
        return name.removeprefix("garden:")
    if name is not None:
        raise file.error("experiment", "This is no name of an experiment.", got=repr(name))
    likely = _likely(file.get("task.model"))
    raise ConfigError(
        "The pipeline does not say which experiment of Model Garden it is of.",
        where=file.path,
        expected=f"one of {', '.join(likely)}, or another one of `detkit garden list`",
        fix=f"Name it: --experiment {likely[0]}, or in the file: experiment: {likely[0]}",
    )


def _experiment_beside(path: Path):
    """What the garden.yaml of a run says, beside its params.yaml."""
    described = path.parent / "garden.yaml"
    if path.name != "params.yaml" or not described.is_file():
        return None
    values, _ = yaml_format.loads(described.read_text(encoding="utf-8"), str(described))
    return values.get("experiment") if isinstance(values, dict) else None


def _likely(model) -> tuple[str, ...]:
    """Experiments whose models have such options, the likeliest first."""
    keys = set(model) if isinstance(model, dict) else set()
    return next((names for marks, names in _LIKELY if marks & keys), _LIKELY[-1][1])
