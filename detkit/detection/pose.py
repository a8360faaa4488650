"""The keypoints that a CenterNet config describes: whose they are, what they are called, which outputs they have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from detkit.errors import ConfigError
from detkit.pipeline import od_config, text_format
from detkit.pipeline.od_center_net import KeypointEstimation

COCO_KEYPOINTS = tuple(
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
    "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle".split()
)
# Machine names of the zoo's configs -> (class name, label-map id) in COCO.
COCO_CLASSES = {"/m/01g317": ("person", 1)}
TASKS = "model.center_net.keypoint_estimation_task"
LABEL_MAP = "model.center_net.keypoint_label_map_path"


@dataclass(frozen=True)
class Pose:
    """The keypoint task of a detector.

    Attributes:
        task: the typed `keypoint_estimation_task` message.
        names: of the keypoints, in the order of the outputs.
        class_names: by which the class with the keypoints may be known.
        label_id: of that class in the label map that the names come from.
        class_id: of that class in the detector.
    """

    task: KeypointEstimation
    names: tuple[str, ...]
    class_names: tuple[str, ...]
    label_id: int
    class_id: int = -1

    @property
    def heatmap(self) -> str:
        """The name of the output with a heat map for each keypoint."""
        return f"{self.task.task_name}/keypoint/heatmap"

    @property
    def offset(self) -> str:
        """The name of the output with the way from a cell to the keypoint in it."""
        return f"{self.task.task_name}/keypoint/offset"

    @property
    def regression(self) -> str:
        """The name of the output with the way from an object's centre to its keypoints."""
        return f"{self.task.task_name}/keypoint/regression"

    @property
    def outputs(self) -> dict:
        """{name: (values per cell, initial bias)}."""
        count = len(self.names)
        return {
            self.heatmap: (count, self.task.heatmap_bias_init),
            self.regression: (2 * count, 0.0),
            self.offset: (2 * count if self.task.per_keypoint_offset else 2, 0.0),
        }

    @property
    def spreads(self) -> list[float]:
        """The config's factor of each keypoint's Gaussian."""
        given = {entry.key: entry.value for entry in self.task.keypoint_label_to_std}
        return [given.get(name, 1.0) for name in self.names]

    def among(self, classes, label_ids) -> Pose | None:
        """The pose of the detector with these classes, None if none of them is the one with the keypoints.

        Where that class has no name of its own ("class 1") its label-map id decides.
        """
        for class_id, (name, label_id) in enumerate(zip(classes, label_ids, strict=True)):
            if name in self.class_names or (label_id == self.label_id and name == f"class {label_id}"):
                return replace(self, class_id=class_id)
        return None


def read(config) -> Pose | None:
    """The pose that a typed pipeline config describes, its class still to be found; None if there is none.

    The names come from the label map that the config names, beside the config or where it says; else they are COCO's.

    Raises:
        ConfigError: for what detkit can't do, and for names that do not fit the config.
    """
    tasks = config.model.center_net.keypoint_estimation_task
    if not tasks:
        return None
    task = tasks[0]
    _reject_unsupported(tasks, config)
    item = _item(config, task.keypoint_class_name)
    alias, label_id = COCO_CLASSES.get(task.keypoint_class_name, (task.keypoint_class_name, 1))
    names, class_names = COCO_KEYPOINTS, (task.keypoint_class_name, alias)
    if item is not None:
        names, label_id = tuple(keypoint.get("label") for keypoint in item.all("keypoints")), item.get("id")
        class_names = (*class_names, item.get("display_name") or alias)
    unknown = [entry.key for entry in task.keypoint_label_to_std if entry.key not in names]
    if unknown:
        raise ConfigError(
            "The config speaks of keypoints that the model does not have.",
            where=config.where(f"{TASKS}.keypoint_label_to_std"),
            got=", ".join(unknown),
            expected=", ".join(names),
            fix="Put the label map that keypoint_label_map_path names beside pipeline.config.",
        )
    return Pose(task, names, class_names, label_id)


def of_detector(config, classes, label_ids) -> Pose | None:
    """As `read`, for a detector with these classes.

    Raises:
        ConfigError: as `read`, and if none of the classes is the one with the keypoints.
    """
    pose = read(config)
    found = pose and pose.among(classes, label_ids)
    if found or pose is None:
        return found
    raise ConfigError(
        "The class with the keypoints is not among the detector's classes.",
        where=config.where(f"{TASKS}.keypoint_class_name"),
        got=", ".join(classes[:8]),
        expected=" or ".join(dict.fromkeys(pose.class_names)),
        fix="Name that class in the label map, or remove keypoint_estimation_task from the config.",
    )


def label_map(pose: Pose, classes, label_ids) -> str:
    """A label map of all classes with the keypoints' names, as protobuf text."""
    items = text_format.Message()
    for class_id, (name, label_id) in enumerate(zip(classes, label_ids, strict=True)):
        fields = [("name", name), ("id", int(label_id)), ("display_name", name)]
        if class_id == pose.class_id:
            fields[0] = ("name", pose.task.keypoint_class_name)
            keypoints = (text_format.Message([("id", i), ("label", label)]) for i, label in enumerate(pose.names))
            fields += [("keypoints", keypoint) for keypoint in keypoints]
        items.add("item", text_format.Message(fields))
    return text_format.dumps(items)


def for_classes(config, classes):
    """The config as it is, or without its keypoints where none of these classes has them."""
    pose, label_ids = read(config), tuple(range(1, len(classes) + 1))
    if pose is None or pose.among(classes, label_ids) is not None:
        return config
    return od_config.with_changes(config, {TASKS: None, LABEL_MAP: None})


def _item(config, class_name: str):
    """The label map's entry of the class, where the label map is there."""
    named = Path(config.model.center_net.keypoint_label_map_path)
    beside = [Path(field.source.name).parent / named.name for field in config.raw if field.source]
    for path in (*beside[:1], named):
        if path.is_file():
            entries = (item for item in text_format.read(path).all("item") if "keypoints" in item)
            return next((item for item in entries if item.get("name") == class_name), None)
    return None


def _reject_unsupported(tasks, config) -> None:
    task, defaults = tasks[0], KeypointEstimation()
    fixed = ("predict_depth", "per_keypoint_depth", "candidate_ranking_mode", "clip_out_of_frame_keypoints",
             "rescore_instances")  # fmt: skip
    wrong = [name for name in fixed if getattr(task, name) != getattr(defaults, name)]
    losses = task.loss
    if losses is None or losses.classification_loss is None or losses.localization_loss is None:
        wrong.append("loss")
    elif losses.classification_loss.penalty_reduced_logistic_focal_loss is None:
        wrong.append("loss.classification_loss")
    elif losses.localization_loss.l1_localization_loss is None:
        wrong.append("loss.localization_loss")
    if len(tasks) > 1 or wrong:
        raise ConfigError(
            "detkit can't do what this CenterNet config asks for.",
            where=config.where(f"{TASKS}.{wrong[0]}" if wrong else TASKS),
            got=f"{len(tasks)} keypoint tasks" if len(tasks) > 1 else f"another {wrong[0]} than the zoo's models",
            expected="one keypoint task with the settings of the TF2 Detection Model Zoo",
        )
