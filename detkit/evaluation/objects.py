"""Annotated and detected objects as the dicts that the matching wants, in the units of COCO files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from detkit import masks
from detkit.detections import Detections

if TYPE_CHECKING:
    from detkit.data import Example

KINDS = ("boxes", "masks", "keypoints")


def truth(example: Example, image_id: int, kind: str) -> list[dict]:
    """The annotated objects of an image; where masks count, one without a mask is ignored like a difficult one."""
    boxes = xywh_pixels(example.boxes, example.size)
    areas = np.where(np.isnan(example.area), boxes[:, 2] * boxes[:, 3], example.area)
    entries = [
        {
            "image_id": image_id,
            "category_id": int(example.class_ids[n]),
            "bbox": boxes[n].tolist(),
            "area": float(areas[n]),
            "iscrowd": bool(example.crowd[n]),
            "ignore": bool(example.difficult[n]),
        }
        for n in range(len(boxes))
    ]
    if kind == "masks":
        return [entry | _mask(example, n, entry) for n, entry in enumerate(entries)]
    if kind == "keypoints" and example.keypoints is not None:
        points = _flat(example.keypoints, example.keypoint_visibility, example.size)
        counts = np.count_nonzero(example.keypoint_visibility, axis=1).tolist()
        return [e | {"keypoints": p, "num_keypoints": c} for e, p, c in zip(entries, points, counts, strict=True)]
    return [entry | {"keypoints": [], "num_keypoints": 0} for entry in entries] if kind == "keypoints" else entries


def _mask(example: Example, n: int, entry: dict) -> dict:
    segmentation = example.segmentations[n] if example.segmentations is not None else None
    if segmentation is None:
        return {"segmentation": masks.run_lengths(outline_of(entry["bbox"]), example.size), "ignore": True}
    rle = masks.run_lengths(segmentation, example.size)
    area = masks.area(rle) if np.isnan(example.area[n]) else entry["area"]
    return {"segmentation": rle, "area": area}


def outline_of(bbox: list[float]) -> list[list[float]]:
    """[xmin, ymin, width, height] as a COCO polygon."""
    xmin, ymin, width, height = bbox
    return [[xmin, ymin, xmin + width, ymin, xmin + width, ymin + height, xmin, ymin + height]]


def found(example: Example, detections: Detections, image_id: int, classes: Sequence[str], kind: str) -> list[dict]:
    """The detected objects of an image whose class is among the classes."""
    detections = replace(detections.of_classes(classes), size=example.size)
    boxes, scores = xywh_pixels(detections.boxes, example.size), detections.scores.tolist()
    position = {name: k for k, name in enumerate(classes)}
    entries = [
        {"image_id": image_id, "category_id": position[name], "bbox": boxes[n].tolist(), "score": scores[n]}
        for n, name in enumerate(detections.labels)
    ]
    if kind == "masks" and entries:
        return [e | {"segmentation": r, "area": masks.area(r)} for e, r in zip(entries, detections.rles(), strict=True)]
    if kind == "keypoints" and entries:
        points = _flat(detections.keypoints, detections.keypoint_scores, example.size)
        return [e | {"keypoints": p, "area": extent(p)} for e, p in zip(entries, points, strict=True)]
    return entries


def extent(points: list[float]) -> float:
    """The area of the box around keypoints [x, y, ..., x, y, ...], by which the COCO evaluation sorts them."""
    xs, ys = points[0::3], points[1::3]
    return (max(xs) - min(xs)) * (max(ys) - min(ys))


def _flat(keypoints: np.ndarray, third: np.ndarray, size: tuple[int, int]) -> list[list[float]]:
    """[N, K, 2] normalised (y, x) and [N, K] -> N lists [x, y, third, ...] in pixels."""
    pixels = np.round(keypoints[..., ::-1].astype(np.float64) * size[::-1], 3)
    return np.concatenate([pixels, third[..., None]], axis=-1).reshape(len(pixels), 3 * pixels.shape[1]).tolist()


def xywh_pixels(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[N, 4] normalised [ymin, xmin, ymax, xmax] to float64 [N, 4] [xmin, ymin, width, height] in pixels."""
    height, width = size
    pixels = boxes.astype(np.float64) * [height, width, height, width]
    corner, sides = pixels[:, [1, 0]], pixels[:, [3, 2]] - pixels[:, [1, 0]]
    # Annotations are whole pixels or a few decimals; float32 blurs them by up to 1e-4 pixels, enough
    # to push an IoU of exactly 0.5 below the threshold.
    return np.round(np.concatenate([corner, sides], axis=1), 3)
