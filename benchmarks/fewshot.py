"""Seconds of few-shot training with and without the frozen-prefix cache, and whether the losses are the same.

    python benchmarks/fewshot.py MODEL [--data TRAIN.JSON] [--steps 100] [--batch-size 4] [--tune heads]

The classic recipe, unless --tune says otherwise: only the final layers are tuned. There is no augmentation. Both runs
are timed from the first photo to the last step, so the cached one includes filling the cache, and both include the time
TensorFlow takes to compile a step. Without --data, five photos are drawn.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from detkit import data as datasets
from detkit.data import batches
from detkit.data.synthesis import boats
from detkit.pipeline.pipeline import Pipeline


def run(model: str, train, cache: str, arguments) -> tuple[dict, list[float]]:
    """Seconds by phase, and the loss of every step."""
    from detkit.detection.load import transplant
    from detkit.training.loop import Loop
    from detkit.training.optimization import Optimization
    from detkit.training.run_directory import RunDirectory
    from detkit.training.selection import choose
    from detkit.zoo.source import locate

    options = dict(steps=arguments.steps, batch_size=arguments.batch_size, tune=arguments.tune, cache=cache)
    options |= dict(
        augment="none", schedule="constant", warmup_steps=0, clip_norm=None, ema=None, checkpoint_every=None
    )
    with tempfile.TemporaryDirectory() as folder:
        plan = Pipeline(model=model, train=options, output=folder)
        detector, _ = transplant(locate(model), train.classes)
        views = batches.Views(train, detector.resized, wants=detector.wants)
        optimization = Optimization(detector, choose(detector, arguments.tune), plan.train)
        directory = RunDirectory(folder)
        directory.begin(plan, resume=False, overwrite=False)
        times = [time.perf_counter()]
        loop = Loop(optimization, views, plan.train, directory, report=lambda row: times.append(time.perf_counter()))
        loop.run()
    steps = np.diff(times)
    seconds = {"total": times[-1] - times[0], "first step": steps[0], "later step": float(np.median(steps[1:]))}
    return seconds, [row["loss"] for row in loop.history]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--tune", choices=("heads", "towers", "neck"), default="heads")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        train = datasets.read(arguments.data) if arguments.data else boats.few_shot_set(folder, test=1)[0]
        measured = {cache: run(arguments.model, train, cache, arguments) for cache in ("on", "off")}
    for cache, (seconds, _) in measured.items():
        print(f"cache {cache:<4}" + "".join(f"{name} {value:8.3f} s   " for name, value in seconds.items()))
    cached, plain = (np.array(measured[cache][1]) for cache in ("on", "off"))
    print(f"speed-up {measured['off'][0]['total'] / measured['on'][0]['total']:.1f} over {arguments.steps} steps")
    print(f"largest relative difference of a loss {np.max(np.abs(cached / plain - 1)):.1e}")


if __name__ == "__main__":
    main()
