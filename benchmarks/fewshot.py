"""Seconds of few-shot training with and without the frozen-prefix cache, and whether losses and weights are the same.

    python benchmarks/fewshot.py MODEL [--data TRAIN.JSON] [--steps 100] [--batch-size 4] [--tune heads]

MODEL is a detector of the zoo, a model directory, or garden:EXPERIMENT. The classic recipe, unless --tune says
otherwise: only the final layers are tuned. There is no augmentation. Both runs are timed from the first photo to the
last step, so the cached one includes filling the cache, and both include the time TensorFlow takes to compile a step.
Busy seconds are those of the processor, all cores together, so that other programs on the machine don't count. Without
--data, five photos are drawn.
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


def for_classes(options, classes):
    """The detector of a pipeline's model, for the classes of the data."""
    from detkit.detection.load import transplant
    from detkit.garden import load as garden
    from detkit.garden.names import is_garden
    from detkit.zoo.source import locate

    if is_garden(options.name):
        return garden.transplant(options, classes)[0]
    return transplant(locate(options.name), classes)[0]


def run(model: str, train, cache: str, arguments) -> tuple[dict, list[float], dict]:
    """Seconds by phase, the loss of every step, and the weights in the end."""
    from detkit.training.loop import Loop
    from detkit.training.optimization import Optimization
    from detkit.training.run_directory import RunDirectory
    from detkit.training.selection import choose

    options = dict(steps=arguments.steps, batch_size=arguments.batch_size, tune=arguments.tune, cache=cache)
    options |= dict(
        augment="none", schedule="constant", warmup_steps=0, clip_norm=None, ema=None, checkpoint_every=None
    )
    with tempfile.TemporaryDirectory() as folder:
        plan = Pipeline(model=model, train=options, output=folder)
        detector = for_classes(plan.model, train.classes)
        views = batches.Views(train, detector.resized, wants=detector.wants)
        optimization = Optimization(detector, choose(detector, arguments.tune), plan.train)
        directory = RunDirectory(folder)
        directory.begin(plan, resume=False, overwrite=False)
        times, busy = [time.perf_counter()], time.process_time()
        loop = Loop(optimization, views, plan.train, directory, report=lambda row: times.append(time.perf_counter()))
        loop.run()
        busy = time.process_time() - busy
    steps = np.diff(times)
    seconds = {"total": times[-1] - times[0], "busy": busy}
    seconds |= {"first step": steps[0], "later step": float(np.median(steps[1:]))}
    weights = {path: variable.numpy() for path, variable in detector.variables().items()}
    return seconds, [row["loss"] for row in loop.history], weights


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
    for cache, (seconds, *_) in measured.items():
        print(f"cache {cache:<4}" + "".join(f"{name} {value:8.3f} s   " for name, value in seconds.items()))
    cached, plain = (np.array(measured[cache][1]) for cache in ("on", "off"))
    on, off = (measured[cache][0] for cache in ("on", "off"))
    faster = [f"{off[name] / on[name]:.1f} in {name} seconds" for name in ("total", "busy")]
    print(f"speed-up {', '.join(faster)}, over {arguments.steps} steps")
    print(f"largest relative difference of a loss {np.max(np.abs(cached / plain - 1)):.1e}")
    weights = measured["off"][2]
    apart = max(np.max(np.abs(value - weights[path])) for path, value in measured["on"][2].items())
    print(f"largest difference of a weight {apart:.1e}")


if __name__ == "__main__":
    main()
