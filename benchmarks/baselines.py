"""The classical baselines and a fine-tuned detector on the same photos: AP50 and seconds an image.

    python benchmarks/baselines.py TRAIN TEST [--detector RUN] [--photos 10] [--test-photos N] [--every 1] [--naive 2]

TRAIN and TEST are data as `detkit train` takes them; if they are the same, --photos of them are drawn for training and
the others, or --test-photos of those, are tested. Each baseline is trained on the backbone of `hands`. Seconds are
those of the processor, so that other programs on the machine don't count. The sliding window then looks at --naive
photos crop by crop, and its scores are compared with the shared ones.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import detkit
from detkit.baselines import rcnn, sliding_window


def timed(function):
    """(its value, processor seconds)."""
    started = time.process_time()
    value = function()
    return value, time.process_time() - started


def measure(name: str, train, test) -> object:
    """Trains, tests, prints a line; returns what was trained."""
    found, training = timed(train)
    found.detect(test[0].pixels())  # what is compiled and allocated at first is not counted
    metrics, testing = timed(lambda: detkit.evaluate(found, test, show_progress=False))
    numbers = f"AP {metrics['AP']:.3f}  AP50 {metrics['AP50']:.3f}"
    print(f"{name:<16}{numbers}  {testing / len(test):.2f} s an image  trained in {training:.0f} s", flush=True)
    return found


def compare(shared, test) -> None:
    """Seconds of the naive sliding window, and how far its scores are from the shared ones."""
    options = dict(window=shared.window, stride=shared.stride, pyramid=shared.pyramid)
    naive = sliding_window.SlidingWindow(shared.classify, shared.classes, **options)
    images = [example.pixels() for example in test]
    naive.scored(images[0][:128, :128])
    ours, fast = timed(lambda: [shared.scored(image) for image in images])
    others, slow = timed(lambda: [naive.scored(image) for image in images])
    a, b = (np.concatenate([scores for _, scores in found]).ravel() for found in (ours, others))
    apart, sides = np.abs(a - b), np.mean((a > 0.5) == (b > 0.5))
    fast, slow = fast / len(images), slow / len(images)
    print(f"naive {slow:.2f} s, shared {fast:.2f} s an image: {slow / fast:.1f} times faster")
    print(f"{len(a)} scores: mean difference {apart.mean():.4f}, 95% below {np.quantile(apart, 0.95):.4f}, ", end="")
    print(f"correlation {np.corrcoef(a, b)[0, 1]:.3f}, same side of 0.5 {sides:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--detector")
    parser.add_argument("--photos", type=int, default=10)
    parser.add_argument("--test-photos", type=int)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--naive", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    train, test, seed = detkit.data.read(arguments.train), detkit.data.read(arguments.test), arguments.seed
    if arguments.train == arguments.test:
        train = train.sample(arguments.photos, seed)
        test = test.without(train)
    if arguments.test_photos:
        test = test.sample(arguments.test_photos, seed)
    test, hands = test[:: arguments.every], detkit.load("hands")
    print(f"{len(train)} photos to learn from, {len(test)} to test on")
    if arguments.detector:
        measure("detector", lambda: detkit.load(arguments.detector), test)
    windows = measure("sliding window", lambda: sliding_window.train(hands, train, seed=seed), test)
    if arguments.naive:
        compare(windows, test[: arguments.naive])
    for fast in (True, False):
        settings = rcnn.RCNNSettings(fast=fast)
        name = "Fast R-CNN" if fast else "R-CNN"
        measure(name, lambda settings=settings: rcnn.train(hands, train, settings=settings, seed=seed), test)


if __name__ == "__main__":
    main()
