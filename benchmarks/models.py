"""What architectures cost on the CPU: seconds to build, to load, for the first detection and the next, and memory.

    python benchmarks/models.py [NAME ...] [--configs FOLDER] [--size 320] [--json FILE]

NAME is a name of `detkit zoo list` or a model directory; without names, all models of the zoo that detkit builds. With
--configs nothing is downloaded: FOLDER holds NAME.config for each, and the weights are drawn (see reference_model.py).
Every model is measured in a process of its own, on one picture of 480 x 640 pixels.
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

from detkit.pipeline import od_config
from detkit.zoo import entries

COLUMNS = {"build": "build s", "weights": "weights s", "first": "first s", "steady": "then s", "memory": "MiB"}


def measure(model: str, size: int | None) -> dict:
    """The figures of one model, in this process."""
    import resource

    from detkit.checkpoint import reader, surgery
    from detkit.detection.build import build
    from detkit.zoo.source import locate

    source = locate(model)
    config = source.config if size is None else resized(source.config, size)
    picture = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    clock = [time.perf_counter()]
    detector = build(config, source.classes, source.label_ids)
    clock.append(time.perf_counter())
    surgery.apply(detector, reader.open_checkpoint(source.checkpoint))
    clock.append(time.perf_counter())
    for _ in range(4):
        detector.detect(picture)
        clock.append(time.perf_counter())
    seconds = np.diff(clock).tolist()
    # Kibibytes on Linux, bytes on macOS.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return {
        "input": list(detector.input_size or ()),
        "parameters": sum(int(np.prod(variable.shape)) for variable in detector.variables().values()),
        "build": seconds[0],
        "weights": seconds[1],
        "first": seconds[2],
        "steady": statistics.median(seconds[3:]),
        "memory": round(peak),
    }


def resized(config, size: int):
    """The config with a shorter side of `size` pixels."""
    resizer = od_config.meta_architecture(config).image_resizer
    path = f"model.{od_config.architecture(config)}.image_resizer"
    if fixed := resizer.fixed_shape_resizer:
        kind, sides = "fixed_shape_resizer", {"height": fixed.height, "width": fixed.width}
    else:
        aspect = resizer.keep_aspect_ratio_resizer
        kind = "keep_aspect_ratio_resizer"
        sides = {"min_dimension": aspect.min_dimension, "max_dimension": aspect.max_dimension}
    scale = size / min(sides.values())
    return od_config.with_changes(config, {f"{path}.{kind}.{name}": round(n * scale) for name, n in sides.items()})


def in_own_process(model: str, size: int | None) -> dict:
    """The figures of one model, measured in a fresh process without a GPU."""
    options = ["--size", str(size)] if size else []
    return json.loads(run(__file__, "--measure", model, *options).splitlines()[-1])


def run(script, *arguments: str) -> str:
    """What a script prints; TensorFlow's own messages are shown only if it fails."""
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(script), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def row(name: str, configs: Path | None, size: int | None) -> dict:
    """The figures of one architecture."""
    if configs is None:
        return {"name": name} | in_own_process(name, size)
    with tempfile.TemporaryDirectory() as folder:
        run(Path(__file__).with_name("reference_model.py"), str(configs / f"{name}.config"), folder)
        return {"name": name} | in_own_process(folder, size)


def line(figures: dict) -> str:
    """A row of the table."""
    side = "x".join(map(str, figures["input"])) or "varies"
    numbers = "".join(f"{figures[column]:>11.{0 if column == 'memory' else 2}f}" for column in COLUMNS)
    return f"{figures['name']:<46}{side:>10}{numbers}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--configs", type=Path, help="a folder with NAME.config for each name")
    parser.add_argument("--size", type=int, help="pixels of the input's shorter side, instead of the model's own")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.size)))
        return
    names = arguments.names or [entry.name for entry in entries() if entry.buildable]
    if arguments.configs and not arguments.names:
        names = [name for name in names if (arguments.configs / f"{name}.config").is_file()]
    print(f"{'':<46}{'input':>10}" + "".join(f"{title:>11}" for title in COLUMNS.values()), flush=True)
    rows = []
    for number, name in enumerate(names, 1):
        print(f"{number} of {len(names)}: {name} ...", file=sys.stderr, flush=True)
        rows.append(row(name, arguments.configs, arguments.size))
        print(line(rows[-1]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
