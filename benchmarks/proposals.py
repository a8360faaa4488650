"""Proposals of selective search in each mode: recall, mean average best overlap and seconds, beside OpenCV's.

    python benchmarks/proposals.py DATA [--images FOLDER] [--every 1] [--modes single fast quality] [--no-opencv]

OpenCV's implementation takes part where its contrib modules are installed. Seconds are those of the processor, so that
other programs on the machine don't count.
"""

from __future__ import annotations

import argparse
import time
from functools import partial

import cv2
import numpy as np

import detkit
from detkit.baselines import quality, selective_search

OPENCV = {"single": "SingleStrategy", "fast": "SelectiveSearchFast", "quality": "SelectiveSearchQuality"}


def opencv(image: np.ndarray, mode: str) -> np.ndarray:
    """The same by OpenCV: boxes float32 [N, 4], normalised yxyx."""
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(np.ascontiguousarray(image[..., ::-1]))
    getattr(search, f"switchTo{OPENCV[mode]}")()
    return detkit.boxes.convert(search.process(), "xywh_abs", "yxyx", image.shape[:2])


def measure(name: str, data, propose) -> None:
    """Prints one line."""
    seconds = 0.0

    def timed(image):
        nonlocal seconds
        started = time.process_time()
        boxes = propose(image)
        seconds += time.process_time() - started
        return boxes

    found = quality.measure(data, timed)
    numbers = dict(zip(found.counts, zip(found.recall(), found.mabo(), strict=True), strict=True))
    columns = "".join("  {:.3f} {:.3f}".format(*numbers[count]) for count in (500, 1000, 2000, np.inf))
    print(f"{name:<16}{found.proposals:>7.0f}{seconds / len(data):>8.2f} s{columns}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--images")
    parser.add_argument("--every", type=int, default=1, help="take every so manieth photo only")
    parser.add_argument("--modes", nargs="+", default=list(selective_search.MODES))
    parser.add_argument("--opencv", action=argparse.BooleanOptionalAction, default=hasattr(cv2, "ximgproc"))
    arguments = parser.parse_args()
    data = detkit.data.read(arguments.data, images=arguments.images)[:: arguments.every]
    print(f"{len(data)} photos; recall at IoU 0.5 and MABO of the first 500, 1000, 2000 and of all proposals")
    for mode in arguments.modes:
        measure(f"detkit {mode}", data, partial(selective_search.propose, mode=mode))
        if arguments.opencv:
            measure(f"OpenCV {mode}", data, partial(opencv, mode=mode))


if __name__ == "__main__":
    main()
