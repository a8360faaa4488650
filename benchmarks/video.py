"""Frames per second over a video, from file to annotated file, and of the bare model, in one run.

python benchmarks/video.py VIDEO [--model hands] [--batch-size 8]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import detkit
from detkit.inference.sources import open_sources


def bare_rate(detector, images: list, batch_size: int) -> float:
    """Frames per second of the network alone: images that are preprocessed already, raw outputs."""
    batches = [detector.preprocess(images[i : i + batch_size]) for i in range(0, len(images), batch_size)]
    detector.predict_graph(*batches[0])["class_logits"].numpy()
    started = time.perf_counter()
    for batch in batches:
        detector.predict_graph(*batch)["class_logits"].numpy()
    return len(images) / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video")
    parser.add_argument("--model", default="hands")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--frames", type=int, default=160, help="frames for the bare model")
    arguments = parser.parse_args()
    detector = detkit.load(arguments.model)
    stream = open_sources([arguments.video])[0].frames()
    images = [frame.image for frame, _ in zip(stream, range(arguments.frames), strict=False)]
    bare = bare_rate(detector, images, arguments.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        summary = detkit.predict(detector, arguments.video, Path(folder) / "out.mp4", batch_size=arguments.batch_size)
    print(f"end to end {summary.frames_per_second:.1f} frames per second ({summary.frames} frames)")
    print(f"bare model {bare:.1f} frames per second ({len(images)} frames, batches of {arguments.batch_size})")


if __name__ == "__main__":
    main()
