"""What the models of Model Garden cost through detkit: building, parameters, seconds, memory; and that they work.

    python benchmarks/garden.py [EXPERIMENT ...] [--columns 21] [--size 256] [--rate 0.01] [--json FILE]

EXPERIMENT is a name of `detkit garden list`; without names, all that detkit has a bridge to. Each is measured in a
process of its own, with random weights. The first columns are of the model as the experiment describes it: its input;
millions of parameters that training can change; processor seconds to build it, Model Garden being imported; seconds to
find what there is in one picture of that size, and processor seconds of all cores together (compiled, the median of
three after one to warm up); and the most memory until then. The others are of the same model with --columns of class
scores, at --size pixels, which spares large inputs: its parameters; the loss of a batch of two, before and after one
step of gradient descent by --rate, where a gradient longer than 1 is made 1 long; whether the model is the same, bit
for bit, when it is saved and loaded, weights and detections; and the most memory of all this.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import detkit
from detkit import models
from detkit.data import batches
from detkit.data.synthesis import presets
from detkit.errors import DetkitError
from detkit.garden import catalogue, upstream
from detkit.pipeline import yaml_format
from detkit.pipeline.settings import TrainConfig
from detkit.text import aligned

UNKNOWN = (512, 512)  # the input of experiments that leave it open, unless --size is given for all
ANCHORS = [12, 16, 19, 36, 40, 28, 36, 75, 76, 55, 72, 146, 142, 110, 192, 243, 459, 401]  # of YOLOv4 on COCO
TITLES = (
    "experiment", "input", "M", "build s", "detect s", "busy s", "MiB",
    "columns", "M", "loss", "after a step", "saved = loaded", "MiB",
)  # fmt: skip
STEP = {
    "optimizer": "momentum", "momentum": 0.0, "clip_norm": 1.0,
    "freeze_batch_norm": False, "ema": None, "augment": None,
}  # fmt: skip


def measure(name: str, columns: int, size: int, rate: float) -> dict:
    """The figures of one experiment, in this process."""
    entry, figures = catalogue.find(name), {}
    with tempfile.TemporaryDirectory() as folder:
        figures |= as_described(entry, Path(folder))
        overrides = {"num_classes": columns, "input_size": [size, size, 3]}
        detector = load(entry, Path(folder), overrides)
        figures |= {"columns": columns, "with_columns": parameters(detector)}
        figures |= trained(detector, Path(folder), rate)
        figures |= {"same": is_same(detector, Path(folder)), "memory": peak()}
    return figures


def as_described(entry, folder: Path) -> dict:
    """The figures of the model that the experiment itself describes."""
    for module in (entry.module, entry.task_module, "tf_keras"):
        upstream.module(module)
    clock = [seconds()]
    detector = load(entry, folder, {})
    clock.append(seconds())
    height, width = entry.size or UNKNOWN
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    for _ in range(4):
        detect(detector, picture)
        clock.append(seconds())
    passed = np.diff(clock, axis=0)
    return {
        "input": [height, width],
        "parameters": parameters(detector),
        "build": passed[0, 1],
        "detect": statistics.median(passed[2:, 0]),
        "detect_busy": statistics.median(passed[2:, 1]),
        "memory_detect": peak(),
    }


def seconds() -> tuple[float, float]:
    """Of the clock, and of the processor, all its cores together."""
    return time.perf_counter(), time.process_time()


def load(entry, folder: Path, overrides: dict):
    """The experiment's model with overrides of its options, and with what it needs."""
    needed = {"num_classes": 91, "input_size": [*UNKNOWN, 3]}
    model = {key: needed[key] for path in entry.needs if (key := path.rpartition(".")[2]) in needed} | overrides
    if any("anchor_boxes" in path for path in entry.needs):
        boxes = [{"box": ANCHORS[i : i + 2]} for i in range(0, len(ANCHORS), 2)]
        model["anchor_boxes"] = {"boxes": boxes, "anchors_per_scale": 3}
    path = folder / "overrides.yaml"
    path.write_text(yaml_format.dumps({"task": {"model": model}} if model else {}))
    return detkit.load(f"garden:{entry.name}", config=path)


def parameters(detector) -> int:
    """How many numbers training can change."""
    return sum(int(np.prod(each.shape)) for each in detector.variables().values() if each.trainable)


def detect(model, picture) -> list[np.ndarray]:
    """What is found in a picture, as arrays."""
    if model.task == "segmentation":
        found = model.segment(picture)[0]
        return [found.class_map, found.scores]
    found = model.detect(picture)[0]
    return [found.boxes, found.scores, found.class_ids]


def trained(detector, folder: Path, rate: float) -> dict:
    """The loss of a batch, before and after one step that descends it; why, where it can't be trained."""
    from detkit.training.optimization import Optimization
    from detkit.training.selection import choose

    try:
        catalogue.find(detector.name.partition(":")[2]).check(training=True)
        pictures, *_ = presets.shapes(folder / "shapes", count=2, test=0, show_progress=False)
        renamed = pictures.rename_classes(dict(zip(pictures.classes, detector.classes, strict=False)))
        views = batches.Views(renamed.with_classes(detector.classes), detector.resized, wants=detector.wants)
        optimization = Optimization(detector, choose(detector, "all"), TrainConfig(**STEP))
        optimization.set_learning_rate(rate)
        state = detector.training_state(*detector.batch([views.view(index) for index in range(2)]))
        record = detector.record(state, 0)
        losses = [float(optimization.step(record)["loss"]) for _ in range(2)]
    except DetkitError as error:
        return {"not_trained": str(error).partition("\n")[0]}
    finally:
        detector.freeze_batch_norm(True)
    return {"loss": losses[0], "after": losses[1]}


def is_same(detector, folder: Path) -> bool:
    """Whether weights and detections are the same, bit for bit, after saving and loading."""
    models.save(detector, folder / "saved")
    again = detkit.load(folder / "saved")
    others = again.variables()
    same = all(np.array_equal(ours.numpy(), others[path].numpy()) for path, ours in detector.variables().items())
    picture = np.random.default_rng(1).integers(0, 256, (200, 240, 3), np.uint8)
    pairs = zip(detect(detector, picture), detect(again, picture), strict=True)
    return same and all(np.array_equal(ours, theirs) for ours, theirs in pairs)


def peak() -> int:
    """The most memory that this process has had, in MiB."""
    import resource

    # Kibibytes on Linux, bytes on macOS.
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))


def in_own_process(name: str, arguments) -> dict:
    """The figures of one experiment, measured in a fresh process without a GPU; or the last line of what went wrong."""
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    options = [f"--{each}={getattr(arguments, each)}" for each in ("columns", "size", "rate")]
    command = [sys.executable, __file__, "--measure", name, *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def row(figures: dict) -> list[str]:
    """A row of the table."""
    if "failed" in figures:
        return [figures["name"], figures["failed"], *[""] * (len(TITLES) - 2)]
    steps = [f"{figures[name]:.4g}" for name in ("loss", "after")] if "loss" in figures else ["not trained", "-"]
    return [
        figures["name"],
        "x".join(map(str, figures["input"])),
        f"{figures['parameters'] / 1e6:.2f}",
        *(f"{figures[name]:.2f}" for name in ("build", "detect", "detect_busy")),
        f"{figures['memory_detect']}",
        f"{figures['columns']}",
        f"{figures['with_columns'] / 1e6:.2f}",
        *steps,
        "yes" if figures["same"] else "no",
        f"{figures['memory']}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="EXPERIMENT")
    parser.add_argument("--columns", type=int, default=21, help="of the class scores of the model that is trained")
    parser.add_argument("--size", type=int, default=256, help="pixels of its input's sides")
    parser.add_argument("--rate", type=float, default=0.01, help="of the step")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.columns, arguments.size, arguments.rate)))
        return
    working = [entry.name for entry in catalogue.EXPERIMENTS if entry.state in ("trains", "runs")]
    names, rows = [catalogue.find(name).check().name for name in arguments.names] or working, []
    for number, name in enumerate(names, 1):
        print(f"{number} of {len(names)}: {name} ...", file=sys.stderr, flush=True)
        rows.append({"name": name} | in_own_process(name, arguments))
        if arguments.json:
            arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    print(aligned([list(TITLES), *map(row, rows)]))


if __name__ == "__main__":
    main()
