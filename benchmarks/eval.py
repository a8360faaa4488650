"""COCO evaluation beside plain pycocotools: seconds, and whether the numbers are equal.

    python benchmarks/eval.py --images 5000 --detections 100

Random images with ten objects of 80 classes each; detections near them and anywhere. pycocotools is timed from its
files on: loading, evaluating, accumulating. detkit is timed twice: from the same files, and from a `Dataset` and
`Detections` in memory, as `detkit eval` does it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
import time
from pathlib import Path

import numpy as np

SIDE, CLASSES, OBJECTS = 640, 80, 10


def boxes_from(rng, n: int) -> np.ndarray:
    """xmin, ymin, width, height in whole pixels [n, 4]."""
    corner = rng.integers(0, SIDE - 200, (n, 2))
    return np.concatenate([corner, rng.integers(8, 200, (n, 2))], axis=1)


def generate(folder: Path, images: int, detections: int) -> tuple[Path, Path]:
    """An annotation file and a results file."""
    rng = np.random.default_rng(0)
    annotations, results = [], []
    for image in range(1, images + 1):
        boxes, classes = boxes_from(rng, OBJECTS), rng.integers(1, CLASSES + 1, OBJECTS)
        for box, k in zip(boxes.tolist(), classes.tolist(), strict=True):
            entry = {"id": len(annotations) + 1, "image_id": image, "category_id": k, "bbox": box, "iscrowd": 0}
            annotations.append(entry | {"area": box[2] * box[3]})
        which = rng.integers(0, OBJECTS, detections)
        near = boxes[which] + rng.integers(-12, 13, (detections, 4))
        found = np.where(rng.random((detections, 1)) < 0.3, near, boxes_from(rng, detections))
        found = np.maximum(found, [0, 0, 2, 2])
        names = np.where(rng.random(detections) < 0.5, classes[which], rng.integers(1, CLASSES + 1, detections))
        scores = np.sort(rng.random(detections).astype(np.float32))[::-1]
        columns = found.tolist(), names.tolist(), scores.tolist()
        results += [
            {"image_id": image, "category_id": k, "bbox": box, "score": score}
            for box, k, score in zip(*columns, strict=True)
        ]
    entries = [{"id": n, "file_name": f"{n}.jpg", "height": SIDE, "width": SIDE} for n in range(1, images + 1)]
    categories = [{"id": k, "name": f"class {k}"} for k in range(1, CLASSES + 1)]
    truth = {"images": entries, "annotations": annotations, "categories": categories}
    paths = folder / "truth.json", folder / "results.json"
    for path, value in zip(paths, (truth, results), strict=True):
        path.write_text(json.dumps(value))
    return paths


def plain(truth: Path, results: Path) -> list[float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO(str(truth))
        evaluation = COCOeval(reference, reference.loadRes(str(results)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats.tolist()


def in_memory(truth: Path, results: Path):
    """A Dataset, and the Detections of its images."""
    import detkit.data
    from detkit.evaluation.results import read_results

    dataset = detkit.data.read(truth, images=False)
    return dataset, read_results(results, dataset)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--detections", type=int, default=100, help="in each image")
    given = parser.parse_args()
    from detkit.evaluation.coco import evaluate, evaluate_files

    with tempfile.TemporaryDirectory() as folder:
        truth, results = generate(Path(folder), given.images, given.detections)
        memory = in_memory(truth, results)
        print(f"{given.images:,} images x {given.detections} detections")
        base = None
        for name, run in (
            ("pycocotools, from files", lambda: plain(truth, results)),
            ("detkit.evaluation.coco.evaluate_files", lambda: list(evaluate_files(truth, results).values())),
            ("detkit.evaluation.coco.evaluate", lambda: list(evaluate(*memory).values())),
        ):
            start = time.perf_counter()
            numbers = run()
            seconds = time.perf_counter() - start
            base = base or (seconds, numbers)
            apart = max(abs(a - b) for a, b in zip(base[1], numbers, strict=True))
            print(f"  {name:<42} {seconds:7.1f} s {seconds / base[0]:6.2f} x   largest difference {apart:.1e}")


if __name__ == "__main__":
    main()
