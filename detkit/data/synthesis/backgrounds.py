"""Procedural backgrounds for synthetic scenes: float32 [H, W, 3], 0..1."""

from __future__ import annotations

import colorsys

import numpy as np

from detkit.data.synthesis.compositor import blurred


def _resized(grid: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    image = Image.fromarray(grid.astype(np.float32), "F")
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BICUBIC))


def noise(rng, size: tuple[int, int], coarse: int = 4, octaves: int = 5, stretch: float = 1.0) -> np.ndarray:
    """Smooth fractal noise [H, W] in 0..1: ever finer grids of random numbers, each of half the weight."""
    total = np.zeros(size, np.float32)
    for octave in range(octaves):
        cells = coarse * 2**octave
        grid = rng.random((min(int(cells * stretch) + 2, size[0]), min(cells + 2, size[1])))
        total += _resized(grid, size) * 0.5**octave
    return (total - total.min()) / max(float(np.ptp(total)), 1e-6)


def colour(rng, saturation=(0.08, 0.45), value=(0.35, 0.95)) -> np.ndarray:
    """A random colour [3] in 0..1."""
    return np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value)), np.float32)


def shadow(opacity: np.ndarray, reach: int) -> np.ndarray:
    """The soft shadow [H, W] in 0..1 of things of this opacity [H, W], thrown down and to the right."""
    soft = blurred(opacity, reach)
    thrown = np.zeros_like(soft)
    thrown[reach:, reach:] = soft[: max(len(soft) - reach, 0), : max(soft.shape[1] - reach, 0)]
    return thrown


def _mix(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return first + (second - first) * weight[..., None]  # [H, W, 3]


def _axes(rng, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The distances [H, W] along a random direction and across it, in units of the picture's height."""
    angle = rng.uniform(0, np.pi)
    y, x = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32) / size[0]
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def _gradient(rng, size):
    ramp, _ = _axes(rng, size)
    ramp = (ramp - ramp.min()) / np.ptp(ramp)
    return _mix(colour(rng), colour(rng), 0.8 * ramp + 0.2 * noise(rng, size))


def _cloth(rng, size):
    warp, weft = _axes(rng, size)
    weave = 0.5 + 0.25 * (np.sin(warp * 300) + np.sin(weft * 300))
    return _mix(colour(rng), colour(rng), 0.75 * noise(rng, size, 6) + 0.25 * weave)


def _stripes(rng, size):
    across, _ = _axes(rng, size)
    wave = np.sin(2 * np.pi * rng.uniform(3, 9) * (across + 0.12 * noise(rng, size, 2, 2)))
    soft = 1 / (1 + np.exp(-wave * rng.uniform(2, 14)))
    return _mix(colour(rng), colour(rng), 0.85 * soft + 0.15 * noise(rng, size, 8))


def _wood(rng, size):
    dark = np.array(colorsys.hsv_to_rgb(rng.uniform(0.04, 0.1), 0.6, rng.uniform(0.25, 0.5)), np.float32)
    light = np.clip(dark * rng.uniform(1.5, 1.9), 0, 1)
    rings = np.sin(60 * noise(rng, size, 2, 3, stretch=6))
    grain = noise(rng, size, 2, 5, stretch=40)
    board = (np.arange(size[0]) * rng.integers(4, 7) // size[0])[:, None]
    tone = rng.uniform(0.8, 1.1, 8)[board]  # [H, 1]
    seam = np.concatenate([np.ones((1, 1), bool), np.diff(board, axis=0) == 0])
    planks = _mix(dark, light, 0.35 * (rings * 0.5 + 0.5) + 0.65 * grain)
    return planks * (tone * np.where(seam, 1, 0.45))[..., None]


def _tiles(rng, size):
    period = rng.uniform(0.12, 0.3)
    first, second = _axes(rng, size)
    checks = (np.floor(first / period) + np.floor(second / period)) % 2
    return _mix(colour(rng), colour(rng), 0.8 * checks + 0.2 * noise(rng, size))


def _distractors(rng, picture: np.ndarray) -> np.ndarray:
    """Balls, blocks and sail-like triangles, some in the boat's colours, so that colour alone won't do."""
    from PIL import Image, ImageDraw

    height, width = picture.shape[:2]
    scale = 2  # drawn larger for smooth edges
    layer = Image.new("RGBA", (width * scale, height * scale))
    paint = ImageDraw.Draw(layer)
    for _ in range(rng.integers(2, 7)):
        x, y = rng.uniform(0, width * scale), rng.uniform(0, height * scale)
        radius = rng.uniform(0.04, 0.13) * height * scale
        fill = tuple(int(255 * c) for c in colour(rng, (0.4, 0.9), (0.4, 0.95))) + (255,)
        edge = tuple(c // 3 for c in fill[:3]) + (255,)
        corners = rng.choice([0, 3, 4, 6])
        if corners:
            paint.regular_polygon((x, y, radius), int(corners), rng.uniform(0, 360), fill=fill, outline=edge)
        else:
            paint.ellipse([x - radius, y - radius, x + radius, y + radius], fill=fill, outline=edge, width=4)
    layer = layer.resize((width, height), Image.Resampling.LANCZOS)
    alpha = np.asarray(layer.getchannel("A"), np.float32) / 255
    picture = picture * (1 - 0.4 * shadow(alpha, 7))[..., None]
    light = 0.75 + 0.4 * noise(rng, (height, width), 2, 2)
    lit = np.asarray(layer.convert("RGB"), np.float32) / 255 * light[..., None]
    return picture + (lit - picture) * alpha[..., None]


def background(rng: np.random.Generator, size: tuple[int, int], clutter: bool = True) -> np.ndarray:
    """A background: a gradient, cloth, stripes, wood or tiles.

    Args:
        rng: decides everything.
        size: (height, width).
        clutter: whether things lie about: balls, blocks and triangles.

    Returns:
        float32 [H, W, 3], RGB in 0..1.
    """
    paint = rng.choice([_gradient, _cloth, _stripes, _wood, _tiles])
    picture = paint(rng, size)
    return np.clip(_distractors(rng, picture) if clutter else picture, 0, 1).astype(np.float32)
