"""Average precision on a large picture with small objects, with and without tiles.

    python benchmarks/tiling.py MODEL DATA [--tiles 640] [--mosaics 2] [--save mosaic.jpg]

The pictures are mosaics of 4,000 x 3,000 pixels: objects of DATA with what surrounds them, shrunk and pasted onto
a plain ground, some of them over the seams of the tiles. Boxes are counted as double where two of one class lie
more than half in each other.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np

import detkit
from detkit import boxes
from detkit.data import Dataset, Example
from detkit.inference import tiling
from detkit.inference.predictor import Predictor

SIZE = (3000, 4000)
SIDE = 56  # of an object in pixels, its longer side
COUNT = 60
SURROUNDINGS = 0.5  # of the object's size, on each side


def mosaic(data: Dataset, seed: int = 0, size=SIZE, count: int = COUNT, side: int = SIDE, tile: int = 640) -> Example:
    """A large picture with `count` small objects of a dataset, every third of them on a seam of its tiles.

    Args:
        data: photos with boxes.
        seed: which objects, and where.
        size: (height, width) of the picture; side: the longer side of an object in it; pixels.
        tile: the side of the tiles, with an overlap of 0.2.
    """
    rng, examples = np.random.default_rng(seed), [example for example in data if len(example.boxes)]
    # So coarse that no object of the photo is left.
    picture = cv2.resize(cv2.resize(examples[0].pixels(), (4, 3), interpolation=cv2.INTER_AREA), size[::-1])
    seams = tiling.regions(size, (tile, tile), 0.2)
    placed, truth, class_ids = np.zeros((0, 4)), [], []
    while len(placed) < count:
        example = examples[rng.integers(len(examples))]
        number = rng.integers(len(example.boxes))
        patch, inside, ids = _shrunk(example, number, side)
        corner = rng.integers(0, np.array(size) - patch.shape[:2])
        if len(placed) % 3 == 0:
            seam = seams[rng.integers(len(seams)), 2:] - np.array(patch.shape[:2]) // 2
            corner = np.clip(seam, 0, np.array(size) - patch.shape[:2])
        region = np.concatenate([corner, corner + patch.shape[:2]])
        if boxes.iou(region[None].astype(np.float32), placed.astype(np.float32)).any():
            continue
        placed = np.concatenate([placed, region[None]])
        picture[region[0] : region[2], region[1] : region[3]] = patch
        truth.append((inside + np.tile(corner, 2)) / np.tile(size, 2))
        class_ids.append(ids)
    return Example(picture, np.concatenate(truth), np.concatenate(class_ids), size, image_id=seed)


def _shrunk(example: Example, number: int, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(an object with what is around it uint8 [h, w, 3], all boxes there in pixels, their class ids)."""
    image, size = example.pixels(), np.array(example.size)
    box = example.boxes[number].reshape(2, 2) * size
    extent = box[1] - box[0]
    low = np.maximum(np.rint(box[0] - SURROUNDINGS * extent), 0).astype(int)
    high = np.minimum(np.rint(box[1] + SURROUNDINGS * extent), size).astype(int)
    scale = side / extent.max()
    height, width = np.maximum(np.rint((high - low) * scale), 1).astype(int)
    patch = cv2.resize(image[low[0] : high[0], low[1] : high[1]], (width, height), interpolation=cv2.INTER_AREA)
    corners = example.boxes.reshape(-1, 2, 2) * size
    there = ((corners.mean(axis=1) > low) & (corners.mean(axis=1) < high)).all(axis=1)
    inside = (np.clip(corners[there], low, high) - low) * scale
    return patch, inside.reshape(-1, 4), example.class_ids[there]


def doubles(found) -> int:
    """How many pairs of boxes of one class lie more than half in each other."""
    shares = np.maximum(boxes.ioa(found.boxes, found.boxes), boxes.ioa(found.boxes, found.boxes).T)
    return int(np.triu((shares > 0.5) & (found.class_ids[:, None] == found.class_ids), 1).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--tiles", type=int, default=640)
    parser.add_argument("--mosaics", type=int, default=2)
    parser.add_argument("--save", type=Path, metavar="JPEG", help="write the first mosaic")
    arguments = parser.parse_args()
    data, detector = detkit.data.read(arguments.data), detkit.load(arguments.model)
    examples = [mosaic(data, seed, tile=arguments.tiles) for seed in range(arguments.mosaics)]
    if arguments.save:
        cv2.imwrite(str(arguments.save), examples[0].image[..., ::-1])
    dataset = Dataset(examples, data.classes)
    for tiles in (None, arguments.tiles):
        predictor = Predictor(detector, tiles=tiles)
        predictor.warm_up()
        started = time.perf_counter()
        metrics = detkit.evaluate(predictor, dataset)
        seconds = (time.perf_counter() - started) / len(dataset)
        double = sum(doubles(found) for found in predictor.detect([e.image for e in examples], threshold=0.3))
        print(
            f"tiles {tiles}: AP {metrics['AP']:.3f}, AP50 {metrics['AP50']:.3f}, {double} double boxes, {seconds:.1f} s"
        )


if __name__ == "__main__":
    main()
