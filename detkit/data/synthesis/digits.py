"""Handwritten digits of 28 x 28 pixels, and pictures with one of them on a black canvas."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from detkit.data.synthesis.scenes import Picture, seen
from detkit.errors import ConfigError, DataError
from detkit.io import read_arrays, unreadable

SIDE = 28
_STROKE = 64  # of 255: brightness from which a pixel is the digit's
_TRAINED = 1437  # of scikit-learn's 1797 digits; those after them were written by others


class Digits(NamedTuple):
    """Digits to draw from.

    Attributes:
        images: uint8 [N, 28, 28], white on black.
        labels: int [N], 0..9.
        fingerprint: what they are.
    """

    images: np.ndarray
    labels: np.ndarray
    fingerprint: str

    @staticmethod
    def read(file, part: str) -> Digits:
        """Those to "train" or to "test" with: of a file mnist.npz, or scikit-learn's for None.

        Raises:
            DataError: if there is no such file, or it holds something else.
            ConfigError: if there is neither a file nor scikit-learn.
        """
        return _bundled(part) if file is None else _mnist(file, part)


def _bundled(part: str) -> Digits:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        fix = "pip install scikit-learn, or give the file mnist.npz as originals (--originals)."
        raise ConfigError("The digits are in scikit-learn, which is not installed.", fix=fix) from error
    images, labels = load_digits(return_X_y=True)
    chosen = slice(0, _TRAINED) if part == "train" else slice(_TRAINED, None)
    return Digits(_enlarged(images.reshape(-1, 8, 8)[chosen]), labels[chosen].astype(int), "scikit-learn " + part)


def _enlarged(images: np.ndarray) -> np.ndarray:
    """[N, 8, 8] of 0..16 as uint8 [N, 28, 28]: 20 x 20 in the middle, as MNIST's are, with strokes as sharp."""
    from PIL import Image

    large = np.zeros((len(images), SIDE, SIDE), np.uint8)
    for image, target in zip(images.astype(np.float32) / 16, large, strict=True):
        wide = Image.fromarray(np.pad(image, 1)).resize((25, 25), Image.Resampling.BICUBIC)
        target[2:27, 2:27] = np.clip(255 * (1.9 * np.asarray(wide) - 0.75), 0, 255).round()
    return large


def _mnist(file, part: str) -> Digits:
    try:
        arrays = read_arrays(file)
    except OSError as error:
        raise DataError("Can't read this file of digits.", **unreadable(file, error)) from error
    except ValueError as error:
        raise DataError("This is no file of digits.", where=file, got=str(error), expected="mnist.npz") from error
    images, labels = (arrays.get(f"{name}_{part}", np.zeros(0)) for name in "xy")
    right = images.dtype == np.uint8 and images.shape == (len(labels), SIDE, SIDE) and len(labels) > 0
    if not right or labels.ndim != 1 or not np.isin(labels, range(10)).all():
        got = ", ".join(f"{name} {array.dtype} {list(array.shape)}" for name, array in arrays.items())[:200]
        expected = f"x_{part} uint8 [N, 28, 28] and y_{part} [N] of 0..9"
        raise DataError("This is no file of digits.", where=file, got=got, expected=expected)
    return Digits(images, labels.astype(int), f"{part} {len(labels)} {int(images.sum(dtype=np.int64))}")


def digit_picture(digits: Digits, seeds: tuple[int, ...], index: int, size: tuple[int, int], tight: bool) -> Picture:
    """A digit at a random place on a black canvas of (height, width).

    Each original comes once before one comes again. The box is that of the 28 x 28 pixels, or if `tight` that of the
    visible ones, which then are the mask.
    """
    turn, place = divmod(index, len(digits.labels))
    original = np.random.default_rng([*seeds, turn]).permutation(len(digits.labels))[place]
    rng = np.random.default_rng([*seeds, 1, index])
    top, left = (int(rng.integers(0, side - SIDE, endpoint=True)) for side in size)
    canvas = np.zeros((*size, 3), np.uint8)
    canvas[top : top + SIDE, left : left + SIDE] = digits.images[original][..., None]
    label = int(digits.labels[original])
    if not tight:
        box = (top, left, top + SIDE, left + SIDE)
        return Picture(canvas, [box], [label], [SIDE * SIDE], image_labels=[label])
    owner = np.where(canvas[..., 0] >= _STROKE, 0, -1)
    return Picture(canvas, *seen(owner, [label]), image_labels=[label])
