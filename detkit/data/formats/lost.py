"""What each format has no place for, so that writing can say what it loses."""

from __future__ import annotations

import numpy as np

from detkit.data.dataset import Dataset
from detkit.data.formats.assemble import segmentation_of
from detkit.data.problems import Problem

# What the formats keep of a dataset, beside boxes and class names.
KEEPS = {
    "coco": {"boxes", "polygons", "masks", "keypoints", "crowd", "difficult", "area", "label ids", "empty", "unused"},
    "csv": {"boxes", "empty"},
    "cvat": {"boxes", "polygons", "masks", "crowd", "difficult", "empty", "unused"},
    "image_folder": {"image labels", "unused"},
    "labelme": {"boxes", "polygons", "masks", "crowd", "difficult", "empty"},
    "masks": {"class maps", "empty", "unused"},
    "openimages": {"boxes", "crowd"},
    "tfrecord": {"boxes", "masks", "crowd", "difficult", "area", "label ids", "image labels", "empty", "unused"},
    "voc": {"boxes", "masks", "difficult", "class maps", "empty"},
    "yolo": {"boxes", "polygons", "empty", "unused"},
}
_CONSEQUENCES = {
    "boxes": ("boxes", "The objects are gone."),
    "polygons": ("polygons", "They became masks."),
    "masks": ("masks", "Only the boxes are left."),
    "keypoints": ("objects with keypoints", "The keypoints are gone."),
    "crowd": ("crowd regions", "They became ordinary objects."),
    "difficult": ("difficult objects", "They became ordinary objects."),
    "image labels": ("labels of whole pictures", "They are gone."),
    "class maps": ("class maps", "They are gone."),
    "empty": ("pictures without objects", "They are not in the file."),
    "unused": ("classes without objects", "They are not in the file."),
}
_OF_OBJECTS = {"polygons", "masks", "keypoints", "crowd", "difficult"}
_OTHER_WORDS = {
    ("crowd", "voc"): ("crowd regions", "They became difficult objects."),
    ("boxes", "masks"): ("objects one by one", "Only the class of each pixel is left."),
    ("empty", "image_folder"): ("pictures without a label", "They are not in the folder."),
}


def lost(data: Dataset, format: str) -> list[Problem]:
    """A warning for each kind of thing in a dataset that a format can't hold, with their number."""
    found = []
    for what, count in _counts(data, format).items():
        things, consequence = _OTHER_WORDS.get((what, format), _CONSEQUENCES[what])
        if what in _OF_OBJECTS and "boxes" not in KEEPS[format]:
            continue  # they are gone with the boxes
        if what == "polygons" and "masks" not in KEEPS[format]:
            consequence = "Only the boxes are left."
        if count and what not in KEEPS[format]:
            found.append(Problem("warning", f"{format} can't hold {things}.", got=f"{count}", fix=consequence))
    return found


def _counts(data: Dataset, format: str) -> dict[str, int]:
    counts = dict.fromkeys(_CONSEQUENCES, 0)
    used = np.zeros(len(data.classes), bool)
    for example in data:
        counts["boxes"] += len(example)
        counts["image labels"] += len(example.image_labels) > 0
        counts["class maps"] += example.class_map is not None
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
        counts["empty"] += not len(example.image_labels if format == "image_folder" else example)
        used[example.class_ids] = used[example.image_labels] = True
    listed = counts["class maps"] and "class maps" in KEEPS[format]  # with the names of their values
    counts["unused"] = 0 if listed else int((~used).sum())
    return counts
