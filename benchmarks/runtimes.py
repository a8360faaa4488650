"""What each runtime takes for a network, and for a picture from end to end; all in one run, in turn.

python benchmarks/runtimes.py [MODEL...] [--rounds 20] [--picture PHOTO]

A MODEL is what `detkit.load` takes, or MODEL:90 for its architecture with 90 classes, which know nothing yet.
Milliseconds are medians over rounds with one picture at a time and all cores; cpu is processor time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np

import detkit
from detkit.detection.load import transplant
from detkit.errors import ConfigError
from detkit.inference import runtimes
from detkit.inference.predictor import Predictor
from detkit.zoo.source import locate


def detector_of(name: str):
    """The detector that a MODEL stands for."""
    model, _, classes = name.partition(":")
    if not classes:
        return detkit.load(model)
    return transplant(locate(model), [f"class {n}" for n in range(int(classes))])[0]


def networks(detector) -> dict[str, Callable]:
    """{name: a function that runs the network once}."""
    noise = np.random.default_rng(0).integers(0, 256, (*detector.input_size, 3), np.uint8)
    given = detector.preprocess([noise])
    arrays = [x.numpy() for x in given]
    made = {
        "TensorFlow, eager": lambda: _fetched(detector.predict(*given)),
        "TensorFlow, tf.function": lambda: _fetched(detector.predict_graph(*given)),
    }
    for runtime in runtimes.installed():
        try:
            run = runtimes.compile(detector, runtime, 1, "float32").open(runtimes.CORES)
        except ConfigError as error:
            print(f"  {runtime}: {error}")
            continue
        made[f"compiled: {runtime}"] = lambda run=run: run(*arrays)
    return made


def whole(detector, picture: np.ndarray) -> dict[str, Callable]:
    """{name: a function that detects in a picture}."""
    predictor = Predictor(detector)
    return {
        "end to end: detector.detect": lambda: detector.detect(picture, threshold=0.3),
        f"end to end: Predictor, auto ({predictor.runtime})": lambda: predictor.detect(picture, threshold=0.3),
    }


def _fetched(outputs: dict) -> list:
    return [np.asarray(value) for value in outputs.values()]


def measure(tasks: dict[str, Callable], rounds: int) -> dict[str, tuple[float, float]]:
    """{name: (milliseconds, milliseconds of processor time)}, medians of rounds in which all take their turn."""
    for task in tasks.values():
        task(), task()
    seen: dict[str, list] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            started = time.perf_counter(), time.process_time()
            task()
            seen[name].append((time.perf_counter() - started[0], time.process_time() - started[1]))
    return {name: tuple(1e3 * median(column) for column in zip(*each, strict=True)) for name, each in seen.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["hands", "hands:90"], metavar="MODEL")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--picture", help="by default noise of 720 x 1280 pixels")
    arguments = parser.parse_args()
    noise = np.random.default_rng(1).integers(0, 256, (720, 1280, 3), np.uint8)
    picture = detkit.data.images.decode(arguments.picture) if arguments.picture else noise
    for name in arguments.models:
        detector = detector_of(name)
        print(f"\n{name}, {detector.input_size[0]} x {detector.input_size[1]}, {runtimes.CORES} cores")
        tasks = networks(detector) | whole(detector, picture)
        for task, (wall, cpu) in measure(tasks, arguments.rounds).items():
            print(f"  {task:44} {wall:8.1f} ms {cpu:8.1f} ms cpu", flush=True)


if __name__ == "__main__":
    main()
