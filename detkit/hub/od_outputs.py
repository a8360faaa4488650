"""The outputs of the OD API's exported models. Source: `exporter_lib_v2` and `standard_fields` of the OD API."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from detkit.errors import DataError

BOXES, SCORES, CLASSES, COUNT = "detection_boxes", "detection_scores", "detection_classes", "num_detections"
REQUIRED = (BOXES, SCORES, CLASSES)
# Output -> the field of a Detections.
OPTIONAL = {
    "detection_masks": "masks",
    "detection_keypoints": "keypoints",
    "detection_keypoint_scores": "keypoint_scores",
}


def fields(outputs: Mapping, label_ids, name: str) -> dict:
    """Fields of a Detections, of the outputs for one image: arrays [1, N, ...].

    Args:
        label_ids: what `detection_classes` counts, one for each class.
        name: of the model, for messages.

    Raises:
        DataError: if a class has an id that is not among them.
    """
    scores = np.asarray(outputs[SCORES])[0]
    count = int(np.ravel(outputs[COUNT])[0]) if COUNT in outputs else np.count_nonzero(scores > 0)
    ids = np.rint(np.asarray(outputs[CLASSES])[0, :count]).astype(np.int64)
    found = {"boxes": np.asarray(outputs[BOXES])[0, :count], "scores": scores[:count]}
    found["class_ids"] = _indices(ids, label_ids, name)
    more = {field: np.asarray(outputs[key])[0, :count] for key, field in OPTIONAL.items() if key in outputs}
    return found | more


def _indices(ids: np.ndarray, label_ids, name: str) -> np.ndarray:
    known = np.asarray(label_ids)
    matches = ids[:, None] == known
    if not matches.any(axis=1).all():
        raise DataError(
            "The model found a class that its label map does not have.",
            where=name,
            got=f"id {ids[~matches.any(axis=1)][0]}",
            expected=f"ids from {known.min()} to {known.max()}",
            fix="Put the label_map.pbtxt that the model was trained with beside it.",
        )
    return matches.argmax(axis=1)
