"""AP of detectors made from ten raccoon photos, on 120 others: the default recipe and the classic one.

    python benchmarks/raccoon.py RACCOON_FOLDER [--seeds 0 1 2] [--photos 10] [--test 120]

RACCOON_FOLDER holds annotations/ (Pascal VOC) and images/. The seed draws the photos and the course of training.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

import detkit

CLASSIC = dict(tune="heads", steps=100, batch_size=4, learning_rate=0.01, schedule="constant", warmup_steps=0,
               optimizer="momentum", augment="none", clip_norm=None, ema=None)  # fmt: skip
RECIPES = {"default": {}, "classic": CLASSIC}


def measure(photos, recipe: dict, seed: int, arguments) -> tuple[float, float, float]:
    """(AP, AP50, seconds of training from loading to the written model)."""
    train = photos.sample(arguments.photos, seed)
    test = photos.without(train).sample(arguments.test, seed)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        run = detkit.finetune("hands", train, output=Path(folder) / "run", seed=seed, **recipe)
        seconds = time.perf_counter() - started
    metrics = detkit.evaluate(run.detector, test)
    return metrics["AP"], metrics["AP50"], seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--photos", type=int, default=10)
    parser.add_argument("--test", type=int, default=120)
    arguments = parser.parse_args()
    photos = detkit.data.read(arguments.folder)
    for name, recipe in RECIPES.items():
        rows = []
        for seed in arguments.seeds:
            rows.append(measure(photos, recipe, seed, arguments))
            print(
                f"{name:<8} seed {seed}: AP {rows[-1][0]:.3f}  AP50 {rows[-1][1]:.3f}  {rows[-1][2]:.0f} s", flush=True
            )
        ap, ap50, seconds = np.mean(rows, axis=0)
        print(f"{name:<8} mean  : AP {ap:.3f}  AP50 {ap50:.3f}  {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
