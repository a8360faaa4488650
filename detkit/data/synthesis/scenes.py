"""Scenes: cut-outs on a background at random places, scales and angles, with shadows, in random light."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detkit import masks as mask_math
from detkit.data.synthesis.compositor import VISIBLE, bounds, cast, darken, lay, overlap, turned
from detkit.data.synthesis.cutouts import Cutouts
from detkit.data.synthesis.light import Light
from detkit.errors import ConfigError

_POSES, _PLACES = 4, 12  # tried for an object before it is left out


@dataclass(frozen=True)
class Look:
    """What scenes look like.

    Attributes:
        size: (height, width) in pixels.
        objects: the least and the greatest number of objects.
        scale: the least and the greatest length of an object's longer side, as a share of the picture's shorter one.
            What finds no room is shrunk, to a half at most, and then left out.
        angle: how far objects are turned at most, either way, in degrees.
        occlusion: the share of an object that others, or the edge of the picture, may hide.
        light: 0..1, how much brightness, tint, noise and sharpness differ.
        shadow: 0..1, how dark the shadows are at most.
        mirror: whether objects are mirrored half the time.

    Raises:
        ConfigError: if a value is out of its range.
    """

    size: tuple[int, int] = (480, 640)
    objects: tuple[int, int] = (1, 4)
    scale: tuple[float, float] = (0.15, 0.6)
    angle: float = 25
    occlusion: float = 0.3
    light: float = 0.6
    shadow: float = 0.6
    mirror: bool = True

    def __post_init__(self):
        rules = (
            ("size", int, 2, "two whole numbers, 16 to 10000", lambda v: 16 <= min(v) <= max(v) <= 10000),
            ("objects", int, 2, "two whole numbers, 0 <= least <= greatest <= 200", lambda v: 0 <= v[0] <= v[1] <= 200),
            ("scale", float, 2, "two numbers, 0 < least <= greatest <= 1", lambda v: 0 < v[0] <= v[1] <= 1),
            ("angle", float, 1, "0 to 180 degrees", lambda v: 0 <= v[0] <= 180),
            ("occlusion", float, 1, "0 <= occlusion < 1", lambda v: 0 <= v[0] < 1),
            ("light", float, 1, "0 to 1", lambda v: 0 <= v[0] <= 1),
            ("shadow", float, 1, "0 to 1", lambda v: 0 <= v[0] <= 1),
        )
        for name, number, count, expected, right in rules:
            given = getattr(self, name)
            values = _numbers(given, number)
            if len(values) != count or not right(values):
                raise ConfigError("Scenes can't be made so.", where=name, got=repr(given), expected=expected)
            object.__setattr__(self, name, values if count == 2 else values[0])


def _numbers(given, number: type) -> tuple:
    """The numbers in a value, as Python's own; none if it holds anything else."""
    array = np.atleast_1d(np.asarray(given, object))
    try:
        values = tuple(map(number, array))
    except (TypeError, ValueError, OverflowError):
        return ()
    return values if all(value == each for value, each in zip(values, array, strict=True)) else ()


class Picture(NamedTuple):
    """A picture and the objects in it.

    Attributes:
        pixels: uint8 [H, W, 3].
        boxes: for each object (top, left, bottom, right) in whole pixels.
        class_ids: for each object its class.
        areas: for each object the number of its visible pixels.
        segmentations: for each object the RLE of its visible pixels, or None if there are no masks.
        image_labels: the classes of the picture as a whole, or None.
    """

    pixels: np.ndarray
    boxes: list[tuple[int, int, int, int]]
    class_ids: list[int]
    areas: list[int]
    segmentations: list[dict] | None = None
    image_labels: list[int] | None = None


class Places:
    """Who is seen at each pixel, as object after object is laid on top of the others.

    Args:
        size: (height, width).
        hidden: the share of an object that may be hidden by those after it or lie outside.

    Attributes:
        owner: int16 [H, W], the number of the object that is seen there, -1 for none.
    """

    def __init__(self, size: tuple[int, int], hidden: float):
        self.owner = np.full(size, -1, np.int16)
        self._shown = 1 - hidden
        self._whole, self._left = np.zeros(0, int), np.zeros(0, int)  # [N] pixels of each: all, and those seen

    def take(self, visible: np.ndarray, corner: tuple[int, int]) -> bool:
        """Put the next object there, unless too much of it or of another would be hidden.

        Args:
            visible: bool [h, w], its pixels.
            corner: the row and column of the first of them.
        """
        there, here = overlap(self.owner.shape, visible.shape, corner)
        mine, count = visible[here], len(self._whole)
        whole, seen = np.count_nonzero(visible), np.count_nonzero(mine)
        left = self._left - np.bincount(self.owner[there][mine] + 1, minlength=count + 1)[1:]
        if not seen or seen < self._shown * whole or (left < self._shown * self._whole).any():
            return False
        self.owner[there][mine] = count
        self._whole, self._left = np.append(self._whole, whole), np.append(left, seen)
        return True


class _Placed(NamedTuple):
    layer: np.ndarray  # float32 [h, w, 4]
    corner: tuple[int, int]
    class_id: int


def compose(
    rng: np.random.Generator, cutouts: Cutouts, ground: Callable[[np.random.Generator], np.ndarray], look: Look
) -> Picture:
    """A scene; larger objects, taken to be nearer, lie on smaller ones.

    Args:
        rng: decides everything; the same state gives the same picture.
        cutouts: what to lay on it.
        ground: draws the background float32 [H, W, 3] in 0..1.
        look: how.

    Returns:
        The picture, with the boxes and masks of what is visible of each object.
    """
    scene = ground(rng)
    places, placed = Places(look.size, look.occlusion), []
    for longer in _lengths(rng, look):
        placed += _placed(rng, cutouts, longer, look, places)
    sun = _Sun.draw(rng, look)
    for layer, corner, _ in placed:
        sun.shade(scene, layer[..., 3], corner)
        lay(scene, _lit(rng, layer, scene, corner, look.light), corner)
    blur = 1.2 * look.light * min(look.size) / 480
    range_ = (1 - 0.45 * look.light, 1 + 0.15 * look.light)
    pixels = Light.draw(rng, look.size, range_, look.light, blur).on(scene, rng)
    return Picture(pixels, *seen(places.owner, [each.class_id for each in placed]))


def _lit(rng, layer: np.ndarray, scene: np.ndarray, corner: tuple[int, int], strength: float) -> np.ndarray:
    """A layer brighter or darker and tinted by chance, and a little as bright as the scene around it."""
    there, _ = overlap(scene.shape[:2], layer.shape[:2], corner)
    around, own = scene[there].mean(), layer[..., :3].sum() / max(3 * layer[..., 3].sum(), 1)
    matched = np.clip(around / max(own, 0.05), 0.5, 1.3) ** (0.4 * strength)
    tint = matched * (1 + strength * (0.2 * rng.uniform(-1, 1) + 0.06 * rng.uniform(-1, 1, 3)))
    return np.dstack([layer[..., :3] * tint.astype(np.float32), layer[..., 3]])


def _lengths(rng, look: Look) -> np.ndarray:
    """The lengths of the objects' longer sides in pixels, rising."""
    count = rng.integers(look.objects[0], look.objects[1], endpoint=True)
    return np.sort(np.exp(rng.uniform(*np.log(look.scale), count))) * min(look.size)


def _placed(rng, cutouts: Cutouts, longer: float, look: Look, places: Places) -> list[_Placed]:
    """The next object in a pose and at a place where it fits, or nothing if none was found."""
    for attempt in range(_POSES):
        number = cutouts.draw(rng)
        image = cutouts.image(number)
        height = max(round(0.8**attempt * longer * image.height / max(image.size)), 1)
        angle, mirrored = rng.uniform(-look.angle, look.angle), rng.random() < 0.5 and look.mirror
        layer = turned(image, height, angle, mirrored)
        visible = layer[..., 3] >= VISIBLE
        for _ in range(_PLACES if visible.any() else 0):
            corner = tuple(_start(rng, *sides, look.occlusion) for sides in zip(visible.shape, look.size, strict=True))
            if places.take(visible, corner):
                return [_Placed(layer, corner, int(cutouts.class_ids[number]))]
    return []


def _start(rng, length: int, side: int, beyond: float) -> int:
    """Where an object of this length starts on a side, of which that share may lie beyond an end."""
    low, high = -int(beyond * length), side - length + int(beyond * length)
    return int(rng.integers(min(low, high), max(low, high), endpoint=True))


class _Sun(NamedTuple):
    """Where the shadows of a scene fall: a direction, how far and how soft as shares of an object, how dark."""

    angle: float
    far: float
    soft: float
    dark: float

    @staticmethod
    def draw(rng, look: Look) -> _Sun:
        angle, far, soft = rng.uniform(0, 2 * np.pi), rng.uniform(0.02, 0.12), rng.uniform(0.02, 0.08)
        return _Sun(angle, far, soft, look.shadow * rng.random())

    def shade(self, scene: np.ndarray, opacity: np.ndarray, corner: tuple[int, int]) -> None:
        """Darken a scene where the shadow of a thing of this opacity [h, w] falls, most where it touches the ground."""
        if not self.dark:
            return
        longer = max(opacity.shape)
        for far, soft, dark in ((self.far, self.soft, self.dark), (0.012, 0.012, 0.7 * self.dark)):
            shadow, margin = cast(opacity, max(soft * longer, 0.7))
            row, column = (round(far * longer * part) - margin for part in (np.sin(self.angle), np.cos(self.angle)))
            darken(scene, shadow, (corner[0] + row, corner[1] + column), dark)


def seen(owner: np.ndarray, class_ids: list[int]) -> tuple[list, list, list, list]:
    """The boxes, classes, areas and RLEs of objects of which each pixel [H, W] says whose it is, -1 for none's."""
    boxes = [bounds(owner == n) for n in range(len(class_ids))]
    parts = [owner[t:b, left:right] == n for n, (t, left, b, right) in enumerate(boxes)]
    rles = [mask_math.encode(part, box[:2], owner.shape) for part, box in zip(parts, boxes, strict=True)]
    return boxes, class_ids, [int(np.count_nonzero(part)) for part in parts], rles
