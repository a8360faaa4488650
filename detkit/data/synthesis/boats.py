"""Scenes of a drawn toy boat with exact boxes, as the demo needs them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detkit import boxes as box_math
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.data.formats import coco
from detkit.data.synthesis.backgrounds import background, shadow
from detkit.data.synthesis.compositor import darken, lay, turned
from detkit.data.synthesis.light import Light
from detkit.data.synthesis.toy_boat import toy_boat
from detkit.io import atomic_write

CLASS = "toy_boat"
SIZE = (360, 480)


@dataclass(frozen=True)
class Pose:
    """Where an object is: centre and height as fractions of the picture, angle in degrees, mirrored."""

    x: float
    y: float
    height: float
    angle: float
    mirrored: bool = False


def place(scene: np.ndarray, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """A scene float32 [H, W, 3] with the boat and its shadow, and its box float64 [4], normalised yxyx."""
    height, width = scene.shape[:2]
    boat = turned(toy_boat(), round(pose.height * height), pose.angle, pose.mirrored, fine=2)
    h, w = boat.shape[:2]
    top = int(np.clip(round(pose.y * height - h / 2), 0, height - h))
    left = int(np.clip(round(pose.x * width - w / 2), 0, width - w))
    opacity = np.zeros((height, width), np.float32)
    opacity[top : top + h, left : left + w] = boat[..., 3]
    scene = scene.copy()
    darken(scene, shadow(opacity, max(round(0.06 * h), 2)), (0, 0), 0.5)
    lay(scene, boat, (top, left))
    return scene, np.array([top / height, left / width, (top + h) / height, (left + w) / width])


def _poses(rng: np.random.Generator, count: int) -> list[Pose]:
    """Random poses whose boats don't touch."""
    poses: list[Pose] = []
    largest = 0.5
    while len(poses) < count:
        height, largest = rng.uniform(0.44, 1) * largest / (1 + 0.3 * (count - 1)), largest * 0.98
        x, y = rng.uniform(0.15, 0.85), rng.uniform(0.2, 0.8)
        if all(np.hypot((x - p.x) * 4 / 3, y - p.y) > 0.75 * (height + p.height) for p in poses):
            poses.append(Pose(x, y, height, rng.uniform(-35, 35), bool(rng.random() < 0.5)))
    return poses


def scene(rng: np.random.Generator, size: tuple[int, int] = SIZE, count: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A picture of toy boats that don't touch, at random places, scales, angles and light.

    Args:
        rng: decides everything; the same state gives the same picture.
        size: (height, width).
        count: how many boats.

    Returns:
        uint8 [H, W, 3] RGB, and float32 [count, 4], normalised yxyx, tight to what is visible.
    """
    picture, boxes = background(rng, size), []
    for pose in _poses(rng, count):
        picture, box = place(picture, pose)
        boxes.append(box)
    return Light.draw(rng, size).on(picture, rng), np.array(boxes, np.float32)


def few_shot_set(
    directory, seed: int = 0, train: int = 5, test: int = 12, size: tuple[int, int] = SIZE
) -> tuple[Dataset, Dataset]:
    """Write a small detection set as train/*.jpg with train.json and test/*.jpg with test.json, COCO format.

    Every third picture has two boats, the others one.

    Args:
        directory: where to put it; made if it isn't there.
        seed: the same one gives the same pictures.
        train, test: how many pictures.
        size: (height, width) of each.

    Returns:
        The two datasets.

    Raises:
        ConfigError: if the directory can't be written.
    """
    parts = []
    for number, (name, count) in enumerate((("train", train), ("test", test))):
        rng = np.random.default_rng([seed, number])
        folder = Path(directory) / name
        examples = [_example(folder, f"{name}_{i:02d}.jpg", rng, size, 1 + (i % 3 == 2)) for i in range(count)]
        parts.append(Dataset(tuple(examples), (CLASS,), name=name))
        coco.write(parts[-1], folder.with_suffix(".json"))
    return parts[0], parts[1]


def _example(folder: Path, name: str, rng, size: tuple[int, int], count: int) -> Example:
    from PIL import Image

    pixels, boxes = scene(rng, size, count)
    with atomic_write(folder / name, "wb") as file:
        Image.fromarray(pixels).save(file, "JPEG", quality=93)
    return Example(folder / name, boxes, [0] * count, size, area=box_math.area(boxes) * size[0] * size[1])


def clip(seed: int = 0, frames: int = 40, size: tuple[int, int] = SIZE) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """A film of a boat sailing across a slowly moving background, rocking, coming nearer, turning round.

    Args:
        seed: the same one gives the same film.
        frames: how many pictures.
        size: (height, width) of each.

    Yields:
        uint8 [H, W, 3] RGB and the boxes float32 [1, 4], normalised yxyx.
    """
    rng = np.random.default_rng([seed, 2])
    height, width = size
    wide = background(rng, (height, width + width // 4))
    light = Light.draw(rng, size, gain=(0.95, 1.1))
    for t in np.linspace(0, 1, frames):
        left = round(t * (wide.shape[1] - width))
        picture, box = place(wide[:, left : left + width], _course(t))
        yield light.on(picture, rng), box[None].astype(np.float32)


def _course(t: float) -> Pose:
    """Where the boat of the film is at the time 0..1."""
    return Pose(
        x=0.5 - 0.34 * np.cos(2 * np.pi * t),
        y=0.55 + 0.2 * np.sin(4 * np.pi * t + 0.5),
        height=0.34 - 0.12 * np.cos(2 * np.pi * t + 0.6),
        angle=14 * np.sin(6 * np.pi * t),
        mirrored=t > 0.5,
    )
