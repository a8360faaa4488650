"""`Detector.preprocess` in OpenCV and NumPy, into memory that is used again: the same numbers in less time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import cv2
import numpy as np

from detkit.detection.detector import Detector
from detkit.visualize.draw import check_image

_LEGACY = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
_TOLERANCE = 0.01  # of 255


class Colours(NamedTuple):
    """A normalisation of colours: `x[..., order] * scale + offset`."""

    order: list[int]
    scale: np.ndarray
    offset: np.ndarray


class Preprocessor:
    """Images -> what a detector's network reads; not for two threads at once.

    Args:
        detector: a `Detector` whose input has a size of its own.
        batch_size: how many images the input has room for.
    """

    def __init__(self, detector, batch_size: int):
        self._own = detector.preprocess if _has_its_own(detector) else None
        self._resizer, self._pads = detector.resizer, detector.normalizes_padding
        self._colours = colours(detector.normalize)
        self._sample = sampler(detector.resizer)
        self._inputs = np.zeros((batch_size, *detector.input_size, 3), np.float32)
        self._shapes = np.zeros((batch_size, 3), np.int32)
        self._shapes[:] = self._inputs.shape[1:]
        self._scale, self._offset = (np.tile(each, self._inputs.shape[2]) for each in self._colours[1:])
        self._picture = np.zeros((0, 0, 3), np.float32)

    def __call__(self, images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Resizes, normalises and pads.

        Args:
            images: uint8 arrays [H, W, 3] RGB, of any sizes, at most `batch_size`.

        Returns:
            inputs float32 [B, h, w, 3] and true_shapes int32 [B, 3], as `Detector.preprocess`, overwritten by the next
            call; the rows behind the last image hold anything.
        """
        if self._own is not None:
            inputs, shapes = self._own(images)
            self._inputs[: len(images)], self._shapes[: len(images)] = inputs, shapes
            return self._inputs, self._shapes
        for row, image in enumerate(images):
            height, width = self._resizer.resized(check_image(image).shape[:2])
            self._shapes[row] = height, width, 3
            whole = self._inputs[row]
            if (height, width) != whole.shape[:2]:
                whole[:] = 0
            self._resize(image, whole[:height, :width])
            self._normalize(whole if self._pads else whole[:height], width)
        return self._inputs, self._shapes

    def _resize(self, image: np.ndarray, out: np.ndarray) -> None:
        """The resized image, its colours in the network's order."""
        if image.shape == out.shape:
            np.copyto(out, image[..., self._colours.order])
        elif self._sample is None:
            np.copyto(out, self._resizer(image).numpy()[..., self._colours.order])
        else:
            if self._picture.shape != image.shape:
                self._picture = np.empty(image.shape, np.float32)
            np.copyto(self._picture, image)
            self._sample(self._picture, out)
            if self._colours.order != [0, 1, 2]:
                np.copyto(out, out[..., self._colours.order])

    def _normalize(self, rows: np.ndarray, width: int) -> None:
        """Normalises the first `width` pixels of rows [h, w, 3], all if the padding is normalised too."""
        count = 3 * (rows.shape[1] if self._pads else width)
        flat = rows.reshape(len(rows), -1)[:, :count]  # NumPy is slow along an axis of three
        np.multiply(flat, self._scale[:count], out=flat)
        np.add(flat, self._offset[:count], out=flat)


def _has_its_own(detector) -> bool:
    """Whether a family puts images into its input in another way than most."""
    return getattr(type(detector), "preprocess", Detector.preprocess) is not Detector.preprocess


@contextmanager
def one_thread() -> Iterator[None]:
    """OpenCV uses no threads of its own inside the `with` block: they would only wait for those that call it."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def warp(image: np.ndarray, out: np.ndarray) -> None:
    """Resizes a float32 image into `out` as TensorFlow 1 did: corner on corner, bilinearly, without antialiasing."""
    (height, width), (rows, columns) = image.shape[:2], out.shape[:2]
    matrix = np.array([[width / columns, 0, 0], [0, height / rows, 0]])
    made = cv2.warpAffine(
        image, matrix, (columns, rows), dst=out, flags=_LEGACY, borderMode=cv2.BORDER_REPLICATE
    )  # fmt: skip
    if not np.shares_memory(made, out):
        np.copyto(out, made)


def scale(image: np.ndarray, out: np.ndarray) -> None:
    """Resizes a float32 image into `out` as TensorFlow 2 does: from pixel centres, without antialiasing."""
    made = cv2.resize(image, out.shape[1::-1], dst=out, interpolation=cv2.INTER_LINEAR)
    if not np.shares_memory(made, out):
        np.copyto(out, made)


def sampler(resizer) -> Callable | None:
    """`warp` or `scale`, if OpenCV then resizes like this resizer; before version 5 `warp` rounds the places."""
    image = np.random.default_rng(0).integers(0, 256, (61, 97, 3), np.uint8)
    expected = resizer(image).numpy()
    got = np.empty_like(expected)
    for sample in (warp, scale):
        sample(image.astype(np.float32), got)
        if np.abs(got - expected).max() < _TOLERANCE:
            return sample
    return None


def colours(normalize) -> Colours:
    """What a `Detector.normalize` does, found by trying it out.

    Raises:
        ValueError: if it is more than an order, a scale and an offset of the channels.
    """
    probes = np.concatenate([np.zeros((1, 3)), np.eye(3) * 255]).astype(np.float32)
    black, *pure = np.asarray(normalize(probes), np.float64)
    matrix = np.array([(each - black) / 255 for each in pure])  # [in, out]
    order = np.abs(matrix).argmax(axis=0)
    found = Colours(order.tolist(), matrix[order, range(3)].astype(np.float32), black.astype(np.float32))
    grey = np.float32([[10, 100, 200]])
    if not np.allclose(normalize(grey), grey[:, order] * found.scale + found.offset, rtol=1e-5, atol=1e-5):
        raise ValueError("This normalisation is no order, scale and offset of the channels.")
    return found
