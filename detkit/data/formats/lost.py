"""What each format has no place for, so that writing can say what it loses."""

from __future__ import annotations

import numpy as np

from detkit.data.dataset import Dataset
from detkit.data.formats.assemble import segmentation_of
from detkit.data.problems import Problem

# What the formats keep of a dataset, beside boxes and class names.
KEEPS = {
    "coco": {"polygons", "masks", "keypoints", "crowd", "difficult", "area", "label ids", "empty", "unused"},
    "csv": {"empty"},
    "cvat": {"polygons", "masks", "crowd", "difficult", "empty", "unused"},
    "labelme": {"polygons", "masks", "crowd", "difficult", "empty"},
    "openimages": {"crowd"},
    "tfrecord": {"masks", "crowd", "difficult", "area", "label ids", "empty", "unused"},
    "voc": {"masks", "difficult", "empty"},
    "yolo": {"polygons", "empty", "unused"},
}
_CONSEQUENCES = {
    "polygons": ("polygons", "They became masks."),
    "masks": ("masks", "Only the boxes are left."),
    "keypoints": ("objects with keypoints", "The keypoints are gone."),
    "crowd": ("crowd regions", "They became ordinary objects."),
    "difficult": ("difficult objects", "They became ordinary objects."),
    "empty": ("pictures without objects", "They are not in the file."),
    "unused": ("classes without objects", "They are not in the file."),
}


def lost(data: Dataset, format: str) -> list[Problem]:
    """A warning for each kind of thing in a dataset that a format can't hold, with their number."""
    found = []
    for what, count in _counts(data, format).items():
        things, consequence = _CONSEQUENCES[what]
        if what == "crowd" and format == "voc":
            consequence = "They became difficult objects."
        if what == "polygons" and "masks" not in KEEPS[format]:
            consequence = "Only the boxes are left."
        if count and what not in KEEPS[format]:
            found.append(Problem("warning", f"{format} can't hold {things}.", got=f"{count}", fix=consequence))
    return found


def _counts(data: Dataset, format: str) -> dict[str, int]:
    counts = dict.fromkeys(_CONSEQUENCES, 0)
    used = np.zeros(len(data.classes), bool)
    for example in data:
        given = [segmentation_of(example, i) for i in range(len(example))]
        # YOLO has one polygon an object.
        most = 1 if format == "yolo" else np.inf
        polygons = sum(isinstance(each, (list, tuple)) and len(each) <= most for each in given)
        counts["polygons"] += polygons
        counts["masks"] += sum(each is not None for each in given) - polygons
        if example.keypoints is not None:
            counts["keypoints"] += int(example.keypoint_visibility.any(-1).sum())
        counts["crowd"] += int(example.crowd.sum())
        counts["difficult"] += int(example.difficult.sum())
        counts["empty"] += not len(example)
        used[example.class_ids] = True
    counts["unused"] = int((~used).sum())
    return counts
