"""What augmentation costs, beside decoding: milliseconds of one processor core for a photo, option by option.

python benchmarks/augmentation.py photos/train.json
"""

from __future__ import annotations

import argparse
import time

import cv2
import numpy as np

from detkit import data
from detkit.data.batches import Views
from detkit.pipeline.settings import USUAL_AUGMENTATION, Augment

OPTIONS = {
    "resized only": {},
    "flip": {"flip": 1},
    "zoom_in": {"zoom_in": 2},
    "zoom_out": {"zoom_out": 2},
    "stretch": {"stretch": 2},
    "rotate": {"rotate": 30},
    "rotate90": {"rotate90": 1},
    "colour": {"colour": 0.5},
    "blur": {"blur": 2},
    "noise": {"noise": 30},
    "jpeg": {"jpeg": 80},
    "cutout": {"cutout": 1},
    "mosaic": {"mosaic": 1},
    "mixup": {"mixup": 1},
    "copy_paste": {"copy_paste": 1},
    "the usual (true)": USUAL_AUGMENTATION,
}


def milliseconds(calls) -> float:
    """The mean time of some calls, of each the best of three times: others use the machine, too."""
    return 1000 * float(np.mean([min(_seconds(call) for _ in range(3)) for call in calls]))


def _seconds(call) -> float:
    start = time.thread_time()
    call()
    return time.thread_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="annotations, as detkit.data.read takes them")
    parser.add_argument("--photos", type=int, default=10, help="how many of the photos (%(default)s)")
    parser.add_argument("--views", type=int, default=8, help="how many views of each (%(default)s)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[320, 640], help="sides of the views (%(default)s)")
    parser.add_argument("--masks", action="store_true", help="with the masks of the objects")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    photos = data.read(given.data)[: given.photos]
    print(f"{'decoding':18}{milliseconds([example.pixels for example in photos]):7.1f} ms")
    for name, options in OPTIONS.items():
        print(f"{name:18}" + "".join(f"{_views(photos, options, side, given):7.1f} ms" for side in given.sizes))


def _views(photos, options, side: int, given) -> float:
    views = Views(photos, lambda _: (side, side), Augment(**options), wants=("masks",) if given.masks else ())
    for index in range(len(photos)):
        views.view(index)  # which decodes it
    numbers = [(index, number) for number in range(given.views) for index in range(len(photos))]
    return milliseconds([lambda which=which: views.view(*which) for which in numbers])


if __name__ == "__main__":
    main()
