"""Non-maximum suppression beside TensorFlow's and OpenCV's, on the same boxes, in one run.

    python benchmarks/nms.py

First the postprocessing of a detector: 8,525 anchors, 90 classes, 100 boxes a class and in all. Then single classes of
1,000, 5,000 and 20,000 crowded boxes of which all survivors are kept. Each time is the best of several; the kept boxes
are compared. Memory is what Python allocates at its peak.
"""

from __future__ import annotations

import argparse
import os
import time
import tracemalloc

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np
import tensorflow as tf

from detkit import nms

ANCHORS, CLASSES, MOST = 8525, 90, 100
IOU, SCORE = 0.5, 1e-8


def crowd(rng, count: int, largest: float) -> np.ndarray:
    """Boxes float32 [count, 4] with sides from a hundredth to `largest`."""
    centres = rng.random((count, 2))
    sides = np.exp(rng.uniform(np.log(0.01), np.log(largest), (count, 2)))
    return np.concatenate([centres - sides / 2, centres + sides / 2], axis=1).astype(np.float32)


def seconds(function, repeats: int):
    """The best time of a call, after one to warm up, and its result."""
    result, best = function(), np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        best = min(best, time.perf_counter() - start)
    return best, result


def peak(function) -> float:
    """MiB that Python allocates at most during a call."""
    tracemalloc.start()
    function()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most / 2**20


def of_loop(boxes, scores) -> list[tuple[int, int]]:
    """TensorFlow's NMS called for one class after another, and the best of all."""
    found = []
    for k in range(scores.shape[1]):
        rows = tf.image.non_max_suppression(boxes, scores[:, k], MOST, IOU, SCORE).numpy()
        found += [(row, k) for row in rows.tolist()]
    return sorted(found, key=lambda pair: -scores[pair])[:MOST]


def of_combined(boxes, scores) -> np.ndarray:
    """The scores that TensorFlow's combined NMS keeps."""
    found = tf.image.combined_non_max_suppression(boxes[None, :, None], scores[None], MOST, MOST, IOU, SCORE)
    return found.nmsed_scores[0].numpy()


def of_opencv(boxes, scores) -> list[int]:
    """The boxes that OpenCV keeps, all of one class."""
    sides = np.concatenate([boxes[:, [1, 0]], boxes[:, [3, 2]] - boxes[:, [1, 0]]], axis=1)
    return np.ravel(cv2.dnn.NMSBoxes(sides.tolist(), scores.tolist(), 0.0, IOU)).tolist()


def show(name: str, time_: float, base: float, note: str = "") -> None:
    print(f"  {name:<48} {1000 * time_:9.1f} ms {time_ / base:8.1f} x   {note}")


def class_wise(rng, repeats: int) -> None:
    boxes, scores = crowd(rng, ANCHORS, 0.3), (rng.random((ANCHORS, CLASSES)) ** 8).astype(np.float32)
    print(f"{CLASSES} classes x {ANCHORS:,} anchors, the best {MOST}")

    def ours():
        return nms.class_wise(boxes, scores, iou_threshold=IOU, score_threshold=SCORE)

    base, (rows, columns) = seconds(ours, repeats)
    pairs = list(zip(rows.tolist(), columns.tolist(), strict=True))
    show("detkit", base, base, f"peak {peak(ours):.1f} MiB")
    loop, found = seconds(lambda: of_loop(boxes, scores), repeats)
    show("tf.image.non_max_suppression per class", loop, base, f"same boxes: {found == pairs}")
    combined, kept = seconds(lambda: of_combined(boxes, scores), repeats)
    show(
        "tf.image.combined_non_max_suppression",
        combined,
        base,
        f"same scores: {np.array_equal(kept, scores[rows, columns])}",
    )


def one_class(rng, count: int, repeats: int) -> None:
    boxes, scores = crowd(rng, count, 0.2), rng.permutation(count).astype(np.float32) / count

    def ours():
        return nms.greedy(boxes, scores, iou_threshold=IOU)

    base, rows = seconds(ours, repeats)
    print(f"one class, {count:,} boxes, {len(rows):,} kept")
    show("detkit", base, base, f"peak {peak(ours):.1f} MiB")
    theirs, kept = seconds(lambda: tf.image.non_max_suppression(boxes, scores, count, IOU).numpy(), repeats)
    show("tf.image.non_max_suppression", theirs, base, f"same boxes: {np.array_equal(kept, rows)}")
    opencv, found = seconds(lambda: of_opencv(boxes, scores), repeats)
    show("cv2.dnn.NMSBoxes", opencv, base, f"same boxes: {found == rows.tolist()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="calls that are timed, after one that is not")
    repeats = parser.parse_args().repeats
    rng = np.random.default_rng(0)
    class_wise(rng, repeats)
    for count in (1000, 5000, 20000):
        one_class(rng, count, repeats)


if __name__ == "__main__":
    main()
