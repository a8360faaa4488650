"""How fast data is read, and photos are made batches.

    python benchmarks/data.py annotations [--images 100000] [--boxes 1000000] [--outlines] [--repeat 3]
    python benchmarks/data.py photos [--photos 128] [--size 320] [--batch-size 8] [--workers N] [--repeat 3]

The first reads a generated COCO file with detkit and with pycocotools, each time in a process of its own, and tells
seconds and peak memory. The second sends drawn photos of 640 x 480 through `detkit.data.tensors`, with and without
augmentation, and beside that through plain tf.data: read, decode, resize, batch. No decoded photo is kept. Seconds are
told by the clock, and those of the processor, which other programs on the machine disturb less; the best of all runs.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

_SIZE = 480, 640


def write_annotations(path, images: int, boxes: int, outlines: bool) -> None:
    """Write a COCO file with 80 classes and random boxes; outlines are polygons of 20 points."""
    rng = np.random.default_rng(0)
    sides = np.array(_SIZE[::-1])
    xywh = np.concatenate([rng.uniform(0, 0.7, (boxes, 2)) * sides, rng.uniform(0.02, 0.3, (boxes, 2)) * sides], 1)
    columns = xywh.round(2).tolist(), rng.integers(1, images + 1, boxes).tolist(), rng.integers(1, 81, boxes).tolist()
    circle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    circle = np.stack([np.cos(circle), np.sin(circle)], -1) / 2 + 0.5
    annotations = []
    for number, (bbox, image, category) in enumerate(zip(*columns, strict=True), 1):
        entry = {"id": number, "image_id": image, "category_id": category, "bbox": bbox}
        entry |= {"area": round(bbox[2] * bbox[3], 2), "iscrowd": 0}
        if outlines:
            entry["segmentation"] = [(circle * bbox[2:] + bbox[:2]).round(2).ravel().tolist()]
        annotations.append(entry)
    pictures = [{"id": n, "file_name": f"{n:012}.jpg", "width": 640, "height": 480} for n in range(1, images + 1)]
    categories = [{"id": n, "name": f"class {n}"} for n in range(1, 81)]
    document = {"images": pictures, "annotations": annotations, "categories": categories}
    Path(path).write_text(json.dumps(document))


def read(reader: str, path: str) -> None:
    """Print seconds by the clock, of the processor, and the peak memory in MiB before and after reading a file."""
    if reader == "detkit":
        from detkit.data.formats import coco

        load = lambda: coco.read(path, images=False)  # noqa: E731
    else:
        from pycocotools.coco import COCO

        load = lambda: COCO(path)  # noqa: E731

    def memory() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

    before, clock, processor = memory(), time.perf_counter(), time.process_time()
    kept = load()
    print(time.perf_counter() - clock, time.process_time() - processor, before, memory(), kept and "")


def annotations(arguments) -> None:
    """Print what reading costs."""

    def apart(function: str, *values) -> str:
        code = f"import data; data.{function}(*{values!r})"
        return subprocess.run(
            [sys.executable, "-c", code], cwd=Path(__file__).parent, check=True, capture_output=True, text=True
        ).stdout

    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/annotations.json"
        apart("write_annotations", path, arguments.images, arguments.boxes, arguments.outlines)
        print(f"{arguments.images} images, {arguments.boxes} boxes, {os.path.getsize(path) / 1e6:.0f} MB")
        print(f"{'':<14}{'seconds':>10}{'processor':>11}{'peak MiB':>10}{'of it reading':>15}")
        runs: dict[str, list] = {"detkit": [], "pycocotools": []}
        for _ in range(arguments.repeat):
            for reader, measured in runs.items():
                last = apart("read", reader, path).splitlines()[-1]
                measured.append([float(value) for value in last.split()])
    for reader, measured in runs.items():
        seconds, processor, before, peak = np.min(measured, 0)
        print(f"{reader:<14}{seconds:>10.2f}{processor:>11.2f}{peak:>10.0f}{peak - before:>15.0f}")


def photos(arguments) -> None:
    """Print what batches cost."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from detkit.data import batches
    from detkit.data.synthesis.boats import few_shot_set
    from detkit.pipeline.augment import USUAL_AUGMENTATION

    batches.PIXELS_KEPT = 0
    one = USUAL_AUGMENTATION | {"mosaic": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        data, _ = few_shot_set(folder, train=arguments.photos, test=1, size=_SIZE)
        ways = {
            "tf.data, decoded": lambda: plain(data, arguments, resize=False),
            "tf.data, decoded and resized": lambda: plain(data, arguments),
            "detkit, without augmentation": lambda: own(data, arguments, None),
            "detkit, the usual without mosaic": lambda: own(data, arguments, one),
            "detkit, the usual augmentation": lambda: own(data, arguments, USUAL_AUGMENTATION),
        }
        print(f"{len(data)} photos of 640 x 480 in batches of {arguments.batch_size}, {arguments.workers} workers")
        print(f"{'':<34}{'photos/s':>10}{'ms':>8}{'ms of the processor':>21}")
        runs: dict[str, list] = {name: [] for name in ways}
        for _ in range(arguments.repeat):
            for name, make in ways.items():
                runs[name].append(consumed(make(), len(data)))
    for name, measured in runs.items():
        clock, processor = np.min(measured, 0) * 1000
        print(f"{name:<34}{1000 / clock:>10.1f}{clock:>8.2f}{processor:>21.2f}")


def plain(data, arguments, resize: bool = True):
    """Batches of what TensorFlow itself decodes."""
    import tensorflow as tf

    def load(path):
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        return tf.image.resize(image, (arguments.size, arguments.size)) if resize else image

    paths = tf.data.Dataset.from_tensor_slices([str(example.image) for example in data])
    return paths.map(load, num_parallel_calls=arguments.workers).batch(arguments.batch_size).prefetch(2)


def own(data, arguments, augment):
    """The same photos as batches of detkit."""
    from detkit.data import tensors

    size, workers = (arguments.size, arguments.size), arguments.workers
    return tensors.batches(data, size=size, batch_size=arguments.batch_size, augment=augment, workers=workers)


def consumed(dataset, photos: int) -> np.ndarray:
    """Seconds a photo, by the clock and of the processor, after a first batch."""
    for _ in dataset.take(1):
        pass
    clock, processor = time.perf_counter(), time.process_time()
    for _ in dataset:
        pass
    return np.array([time.perf_counter() - clock, time.process_time() - processor]) / photos


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("annotations")
    command.add_argument("--images", type=int, default=100_000)
    command.add_argument("--boxes", type=int, default=1_000_000)
    command.add_argument("--outlines", action="store_true")
    command.add_argument("--repeat", type=int, default=3)
    command = commands.add_parser("photos")
    command.add_argument("--photos", type=int, default=128)
    command.add_argument("--size", type=int, default=320)
    command.add_argument("--batch-size", type=int, default=8)
    command.add_argument("--workers", type=int, default=os.cpu_count())
    command.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    {"annotations": annotations, "photos": photos}[arguments.command](arguments)


if __name__ == "__main__":
    main()
