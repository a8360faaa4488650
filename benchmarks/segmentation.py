"""Segmentation architectures on the same images: foreground IoU, Dice, boundary F, seconds.

    python benchmarks/segmentation.py TRAIN TEST [--only unet encoder_decoder] [--steps N] [--seed 0]

TRAIN and TEST are data as `detkit train` takes them, with masks or class maps. The settings are those of
pipelines/nuclei_unet.yaml, but for MODELS below. Seconds of the processor are those of both cores together, so that
other programs on the machine don't count; half of them is what two idle cores take.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import detkit
from detkit.text import aligned

PIPELINE = Path(__file__).parents[1] / "pipelines" / "nuclei_unet.yaml"
_FROM_NOTHING = {"model.encoder": "null", "model.weights": "null", "train.learning_rate": 0.003}
MODELS = {
    "unet": {},
    "unet_from_nothing": _FROM_NOTHING | {"train.steps": 600},
    "encoder_decoder": _FROM_NOTHING
    | {"model.name": "encoder_decoder", "model.width": 32, "model.batch_norm": "true", "train.steps": 700},
    "fcn8": {"model.name": "fcn8", "model.width": "null", "train.steps": 250, "train.learning_rate": 0.003},
    "segnet": _FROM_NOTHING | {"model.name": "segnet", "train.steps": 200},
}
HEAD = ("model", "parameters", "IoU", "Dice", "boundary F", "processor s", "s", "ms an image")


def row(name: str, args) -> list[str]:
    """Trains and tests a model."""
    sets = MODELS[name] | {"data.train": args.train, "data.test": args.test, "train.seed": args.seed}
    sets |= {"train.steps": args.steps} if args.steps else {}
    started, busy = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        overrides = [f"{key}={value}" for key, value in sets.items()]
        run = detkit.train(PIPELINE, overrides, Path(folder) / "run", show_progress=False)
    spent, busy = time.perf_counter() - started, time.process_time() - busy
    images = [example.pixels() for example in detkit.data.read(args.test)]
    began = time.process_time()
    run.model.segment(images)
    each = (time.process_time() - began) / len(images)
    numbers = [run.metrics[key] for key in ("iou", "dice", "boundary_f")]
    parameters = sum(weight.numpy().size for weight in run.model.model.trainable_weights)
    seconds = [f"{busy:.0f}", f"{spent:.0f}", f"{1000 * each:.0f}"]
    return [name, f"{parameters:,}", *(f"{value:.3f}" for value in numbers), *seconds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--only", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--steps", type=int, help="of each; by default what suits it")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rows = [list(HEAD)]
    for name in args.only:
        rows.append(row(name, args))
        print("  ".join(rows[-1]), flush=True)
    print(aligned(rows))


if __name__ == "__main__":
    main()
