"""What the overrides of a YOLO must say, and what of it detkit can't honour."""

from __future__ import annotations

from detkit.errors import ConfigError

NMS = ("greedy", "v1", "v2", "iou")
BOXES = "task.model.anchor_boxes"


def check(task) -> None:
    """Raises for options with which a YOLO can't be built or trained.

    Args:
        task: Model Garden's configuration of the task.

    Raises:
        ConfigError: that says what to write instead.
    """
    model = task.model
    _check_size(model)
    _check_anchors(model)
    _check_frame(task.train_data.parser.letter_box, task.validation_data.parser.letter_box)
    _check_suppression(model.detection_generator.nms_version)
    balances = getattr(model.loss, "auto_balance", False)
    _refuse(balances, "task.model.loss.auto_balance", True, "the loss of a batch would depend on those before it")
    _refuse(model.anchor_boxes.generate_anchors, f"{BOXES}.generate_anchors", True, "it reads TFRecords")


def _refuse(unfit: bool, where: str, got, reason: str) -> None:
    if unfit:
        raise ConfigError(f"detkit can't honour this option: {reason}.", where=where, got=got, fix="Leave it out.")


def _check_frame(training, validation) -> None:
    if bool(training) != bool(validation):
        raise ConfigError(
            "Training and prediction must bring images to their size in one way.",
            where="task.*_data.parser.letter_box",
            got=f"train_data {training}, validation_data {validation}",
            fix="Give both the same value.",
        )


def _check_suppression(way: str) -> None:
    if way not in NMS:
        raise ConfigError(
            "Model Garden's YOLO has no such suppression.",
            where="task.model.detection_generator.nms_version",
            got=way,
            expected=", ".join(NMS),
            fix="Leave it out: greedy is the quickest on a CPU.",
        )


def _check_size(model) -> None:
    stride = 2 ** _levels(model)[1]
    size = list(model.input_size)
    if size[0] % stride or size[1] % stride:
        near = [max(round(side / stride), 1) * stride for side in size[:2]]
        raise ConfigError(
            "A YOLO's input must be a multiple of its largest stride.",
            where="task.model.input_size",
            got=size,
            expected=f"[height, width, 3], multiples of {stride}",
            fix=f"Write input_size: {[*near, 3]}.",
        )


def _check_anchors(model) -> None:
    given = model.anchor_boxes
    least, most = _levels(model)
    if given.level_limits is not None:
        by_size = model.input_size[0] != model.input_size[1]
        _refuse(hasattr(model, "max_level"), f"{BOXES}.level_limits", given.level_limits, "YOLOv7 learns from anchors")
        _refuse(by_size, f"{BOXES}.level_limits", given.level_limits, "Model Garden takes the input for a square")
        return
    boxes, wanted = [box.box for box in given.boxes or ()], (most - least + 1) * given.anchors_per_scale
    if len(boxes) != wanted or any(len(box) != 2 or min(box) <= 0 for box in boxes):
        raise ConfigError(
            "The anchors do not fit the model.",
            where=f"{BOXES}.boxes",
            got=f"{len(boxes)} anchors" if len(boxes) != wanted else boxes,
            expected=f"{wanted} of [width, height] in pixels of the input: {given.anchors_per_scale} for each of the "
            f"levels {least} to {most}, the smallest first",
            fix="Write them, or take an experiment that has anchors: yolo_darknet, coco_yolov7tiny.",
        )


def _levels(model) -> tuple[int, int]:
    """The first and the last level; YOLOv4 has them in its backbone."""
    levels = model if hasattr(model, "max_level") else model.backbone.get()
    return levels.min_level, levels.max_level
