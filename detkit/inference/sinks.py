"""What becomes of the detections: drawn pictures, drawn video, COCO results, CSV.

A sink is a context manager that gives a function `write(frame, found, picture)`. Leaving the context
completes the file under its name; leaving it by an exception leaves nothing behind.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from detkit import boxes
from detkit.detections import Detections
from detkit.inference.sources import Frame
from detkit.io import atomic_write

Write = Callable[[Frame, Detections, np.ndarray | None], None]

VIDEO_FORMATS = {".mp4": "mp4", ".mkv": "matroska", ".mov": "mov", ".avi": "avi", ".gif": "gif"}
CSV_HEADER = (
    "source", "frame", "time_s", "class", "score", "xmin_px", "ymin_px", "xmax_px", "ymax_px",
)  # fmt: skip


@contextmanager
def pictures(path_of: Callable[[Frame], Path]) -> Iterator[Write]:
    """Writes each picture to the path that `path_of` gives for its frame."""

    def write(frame: Frame, found: Detections, picture: np.ndarray) -> None:
        save_picture(picture, path_of(frame))

    yield write


def save_picture(picture: np.ndarray, path: Path) -> None:
    """Writes uint8 [H, W, 3] RGB in the format that the path's suffix names; ConfigError if that can't be done."""
    from PIL import Image

    form = Image.registered_extensions()[path.suffix.lower()]
    with atomic_write(path, "wb", sync=False) as file:
        Image.fromarray(picture).save(file, form, **({} if form == "PNG" else {"quality": 95}))


@contextmanager
def coco_results(path: Path, label_ids: Sequence[int]) -> Iterator[Write]:
    """Writes detections as a COCO results list.

    Every frame or image counts as one image; `image_id` numbers them from 1 in the order they come.
    `bbox` is [x, y, width, height] in pixels. Beside COCO's own keys an entry has `file_name`, and in
    videos `frame` (from 0) and `time` (seconds). For masks, keypoints and tracks see `coco_entries`.

    Args:
        path: the JSON file.
        label_ids: the category id of each class.
    """
    with atomic_write(path) as file:
        image_id, separator = 0, "\n"

        def write(frame: Frame, found: Detections, picture: np.ndarray | None) -> None:
            nonlocal image_id, separator
            image_id += 1
            where = {"file_name": frame.path.name} | moment(frame)
            for entry in coco_entries(found, label_ids, image_id):
                file.write(separator + json.dumps(entry | where, ensure_ascii=False))
                separator = ",\n"

        file.write("[")
        yield write
        file.write("\n]\n")


@contextmanager
def table(path: Path) -> Iterator[Write]:
    """Writes detections as CSV, one row each; the header names the units: px are pixels, s seconds.

    Where objects are followed there is a last column `track`, empty for those that are not.
    """
    with atomic_write(path) as file:
        rows = csv.writer(file, lineterminator="\n")
        tracked = None

        def begin(follows: bool) -> None:
            nonlocal tracked
            if tracked is None:
                tracked = follows
                rows.writerow([*CSV_HEADER, *(["track"] * follows)])

        def write(frame: Frame, found: Detections, picture: np.ndarray | None) -> None:
            begin(found.track_ids is not None)
            corners = boxes.convert(found.boxes, "yxyx", "xyxy_abs", size=found.size)
            index, time = _when(frame)
            tracks = _tracks(found) if tracked else [[]] * len(found)
            for corner, score, label, track in zip(corners, found.scores, found.labels, tracks, strict=True):
                numbers = [f"{score:.6f}", *(f"{value:.2f}" for value in corner)]
                rows.writerow([frame.path, index, time, label, *numbers, *track])

        yield write
        begin(False)


def coco_entries(found: Detections, label_ids: Sequence[int], image_id: int | str) -> Iterator[dict]:
    """The entries of one image in a COCO results list; `bbox` is [x, y, width, height] in pixels.

    Where the detections have them, `segmentation` is a compressed RLE, `keypoints` [x, y, score, ...] in pixels and
    `track_id` the number of the object that is followed (-1: not followed).

    Args:
        found: the detections.
        label_ids: the category id of each class.
        image_id: what the annotation file calls the image.
    """
    extents = boxes.convert(found.boxes, "yxyx", "xywh_abs", size=found.size)
    shapes = _shapes(found)
    for n, (extent, score, class_id) in enumerate(zip(extents, found.scores, found.class_ids, strict=True)):
        yield {
            "image_id": image_id,
            "category_id": int(label_ids[class_id]),
            "bbox": [round(float(value), 3) for value in extent],
            "score": round(float(score), 6),
            **{name: values[n] for name, values in shapes.items()},
        }


def _shapes(found: Detections) -> dict[str, list]:
    """The columns of masks, keypoints and tracks of a COCO results list."""
    shapes = {}
    if found.masks is not None:
        shapes["segmentation"] = found.rles()
    if found.keypoints is not None:
        pixels = found.keypoints.astype(np.float64)[..., ::-1] * found.size[::-1]
        triples = np.concatenate([pixels.round(3), found.keypoint_scores[..., None].astype(np.float64).round(6)], -1)
        shapes["keypoints"] = triples.reshape(len(found), 3 * pixels.shape[1]).tolist()
    if found.track_ids is not None:
        shapes["track_id"] = found.track_ids.tolist()
    return shapes


def moment(frame: Frame) -> dict:
    """The keys `frame` and `time` (seconds) of a video's frame; none for images."""
    return {} if frame.index is None else {"frame": frame.index, "time": round(float(frame.time), 6)}


def _tracks(found: Detections) -> list[list]:
    """For each detection a cell with the number of its track."""
    ids = [-1] * len(found) if found.track_ids is None else found.track_ids
    return [["" if number < 0 else number] for number in ids]


def _when(frame: Frame) -> tuple[str, str]:
    return ("", "") if frame.index is None else (str(frame.index), f"{float(frame.time):.6f}")
