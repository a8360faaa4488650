"""What `detkit predict` makes of a video, beside what its parts can do alone and a plain loop; all in one run.

    python benchmarks/video.py VIDEO... [--model hands] [--rounds 3]
    python benchmarks/video.py VIDEO --memory [--frames 30000]

The first form prints frames per second (medians over rounds in which everything is measured in turn) of decoding
alone, the compiled network alone at its best batch size, `predict` writing JSON and writing an annotated video, and a
loop that reads a frame, calls `detector.detect`, draws and writes. The second runs over the video again and again and
prints the process's memory on the way.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

import detkit
from detkit.inference import runtimes
from detkit.inference.predictor import Predictor
from detkit.inference.sources import open_sources
from detkit.inference.video_sink import video
from detkit.visualize.draw import draw

BATCHES = (1, 4, 8)


def rate(frames: int, function: Callable) -> float:
    """Frames per second of a function that goes through so many frames."""
    started = time.perf_counter()
    function()
    return frames / (time.perf_counter() - started)


def decode(path: str) -> int:
    """Decodes a video as `predict` does; the number of frames."""
    return sum(1 for _ in open_sources([path])[0].frames())


def networks(detector) -> dict[str, Callable[[int], None]]:
    """{what it is: a function that runs the network on so many preprocessed images}."""
    made = {}
    for batch in BATCHES:
        compiled = runtimes.compile(detector, batch_size=batch, precision="float32")
        inputs, shapes = detector.preprocess([np.zeros((*compiled.frozen.size, 3), np.uint8)] * batch)
        given = inputs.numpy(), shapes.numpy()
        for workers in {1, compiled.workers}:
            runs = [compiled.open(max(1, runtimes.CORES // workers)) for _ in range(workers)]
            name = f"{compiled.runtime}, batches of {batch}, {workers} at a time"
            made[name] = lambda frames, runs=runs, given=given: _share(runs, given, frames)
    return made


def _share(runs: list, given: tuple, frames: int) -> None:
    """Runs so many frames through all `runs` at the same time."""
    calls = itertools.count()
    needed = -(-frames // len(given[0]))

    def work(run):
        while next(calls) < needed:
            run(*given)

    threads = [threading.Thread(target=work, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def naive(detector, path: str, output: Path) -> None:
    """A frame at a time: read, detect, draw, write."""
    source = open_sources([path])[0]
    with video(output, source.rate) as write:
        for frame in source.frames():
            (found,) = detector.detect(frame.image, threshold=0.3)
            write(frame, found, draw(frame.image, found))


def measure(detector, path: str, rounds: int) -> None:
    """Prints the table of one video."""
    frames, made = decode(path), networks(detector)
    enough = min(frames, 200)  # for the network alone
    # Compiling is not what is measured: every run gets the predictor that the first one made.
    predictor = Predictor(detector)
    predictor.warm_up()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        tasks = {
            "(a) decode": lambda: rate(frames, lambda: decode(path)),
            **{f"(b) {name}": lambda run=run: rate(enough, lambda: run(enough)) for name, run in made.items()},
            "(c) predict to JSON": lambda: _predict(predictor, path, None, json=f"{out}.json"),
            "(d) predict to video": lambda: _predict(predictor, path, f"{out}.mp4"),
            "(e) plain loop": lambda: rate(frames, lambda: naive(detector, path, out.with_suffix(".mkv"))),
        }
        detector.detect(np.zeros((64, 64, 3), np.uint8))
        figures = [{name: task() for name, task in tasks.items()} for _ in range(rounds)]
    found = {name: median(each[name] for each in figures) for name in tasks}
    print(f"\n{path}: {frames} frames, {runtimes.CORES} cores, medians of {rounds} rounds")
    for name, value in found.items():
        print(f"  {name:48} {value:8.1f} frames per second")
    bounds = [_bound(each) for each in figures]
    print(f"  {'bound by (a) and (b) on the same cores':48} {median(bounds):8.1f} frames per second")
    json_share = median(each["(c) predict to JSON"] / bound for each, bound in zip(figures, bounds, strict=True))
    gain = median(each["(d) predict to video"] / each["(e) plain loop"] for each in figures)
    print(f"  (c) is {json_share:.0%} of the bound; (d) is {gain:.2f} times as fast as (e)")


def _bound(figures: dict) -> float:
    """What decoding and the network can do together where they share all cores."""
    best = max(value for name, value in figures.items() if name.startswith("(b)"))
    return 1 / (1 / figures["(a) decode"] + 1 / best)


def _predict(predictor, path: str, output, **options) -> float:
    return detkit.predict(predictor, path, output, **options).frames_per_second


def memory(detector, path: str, frames: int) -> None:
    """Prints the memory of the process while `predict` goes through a video again and again."""
    predictor = Predictor(detector)
    times, seen = -(-frames // decode(path)), 0
    print(f"{path}, {times} times in a row")
    with tempfile.TemporaryDirectory() as folder:
        for n in range(times + 1):
            print(f"  {seen:6} frames: {resident():.1f} MB", flush=True)
            seen += detkit.predict(predictor, path, json=Path(folder) / "out.json").frames if n < times else 0


def resident() -> float:
    """The resident memory of this process in megabytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+", metavar="VIDEO")
    parser.add_argument("--model", default="hands")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action="store_true", help="watch the memory over a looped video")
    parser.add_argument("--frames", type=int, default=30_000, help="for --memory")
    arguments = parser.parse_args()
    detector = detkit.load(arguments.model)
    for path in arguments.videos:
        if arguments.memory:
            memory(detector, path, arguments.frames)
        else:
            measure(detector, path, arguments.rounds)


if __name__ == "__main__":
    main()
