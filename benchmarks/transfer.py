"""Strategies of transfer learning on the same photos: accuracy over seeds, seconds, and what the cache saves.

    python benchmarks/transfer.py TRAIN TEST [--only head two_stage full scratch] [--seeds 3] [--set KEY=VALUE ...]
    python benchmarks/transfer.py TRAIN TEST --cache

TRAIN and TEST are data as `detkit train` takes them, such as a folder for each class. All are trained with the settings
of pipelines/flowers_transfer.yaml but for what STRATEGIES says; `scratch` is a mini Xception without weights. With
--cache the strategy `head` runs twice without augmentation, with features cached and without, from the first photo to
the test. Seconds of the processor
are those of all cores together, so that other programs on the machine don't count.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

import detkit
from detkit.text import aligned

PIPELINE = Path(__file__).parents[1] / "pipelines" / "flowers_transfer.yaml"
STRATEGIES = {
    "head": ("train.strategy=head",),
    "two_stage": ("train.strategy=two_stage", "train.unfreeze=0.3", "train.finetune_rate=0.3"),
    "full": ("train.strategy=full", "train.learning_rate=0.001", "train.steps=200"),
    "scratch": ("model.name=MiniXception", "model.weights=null", "model.width=0.5", "train.strategy=full"),
}
HEAD = ("strategy", "accuracy", "of each seed", "processor s", "s")


def run(args, overrides, seed: int = 0) -> tuple[float, float, float]:
    """Accuracy on the test set, seconds of the processor, and seconds."""
    started, busy = time.perf_counter(), time.process_time()
    sets = [f"data.train={args.train}", f"data.test={args.test}", f"train.seed={seed}", *overrides, *args.set]
    with tempfile.TemporaryDirectory() as folder:
        trained = detkit.train(PIPELINE, sets, Path(folder) / "run", show_progress=False)
    return trained.metrics["accuracy"], time.process_time() - busy, time.perf_counter() - started


def row(name: str, args) -> list[str]:
    """Trains by a strategy, with each seed."""
    accuracies, busy, seconds = np.array([run(args, STRATEGIES[name], seed) for seed in range(args.seeds)]).T
    each = " ".join(f"{value:.3f}" for value in accuracies)
    return [name, f"{accuracies.mean():.3f}", each, f"{busy.mean():.0f}", f"{seconds.mean():.0f}"]


def caching(args) -> list[list[str]]:
    """The seconds of training a head, with cached features and without."""
    rows = [["features", "processor s", "s", "accuracy"]]
    measured = {}
    for cache in ("on", "off"):
        sets = (*STRATEGIES["head"], "train.augment=null", f"train.cache={cache}")
        accuracy, busy, seconds = measured[cache] = run(args, sets)
        rows.append([f"cache {cache}", f"{busy:.0f}", f"{seconds:.0f}", f"{accuracy:.3f}"])
    ratios = [measured["off"][i] / measured["on"][i] for i in (1, 2)]
    return [*rows, ["ratio", *(f"{ratio:.1f}" for ratio in ratios), ""]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(STRATEGIES), default=list(STRATEGIES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="override fields of the pipeline")
    parser.add_argument("--cache", action="store_true")
    args = parser.parse_args()
    args.train, args.test = args.train.resolve(), args.test.resolve()
    print(aligned(caching(args) if args.cache else [list(HEAD), *(row(name, args) for name in args.only)]))


if __name__ == "__main__":
    main()
