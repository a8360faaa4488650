"""What must be known to use a model file: its classes, and what its input is. It travels inside the file, as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np

from detkit.errors import CheckpointError

NAME = "detkit.json"  # of an asset or associated file, and of an entry of metadata


@dataclass(frozen=True)
class Facts:
    """What must be known to use a model.

    Attributes:
        task: "detection", or the task of another network.
        name: of the model.
        classes: class names; label_ids: the label-map id of each.
        size: (height, width) of the input; None: any, the model resizes and normalises by itself.
        fit: (shorter, longer) limits of the sides to which an image is scaled before it is padded at the bottom and on
            the right; None: images are stretched to `size`, unless there is a frame.
        frame: (height, width) into which an image is scaled to fit before it is padded in the same way, or None.
        half_pixel: whether the sampling, bilinear, is that of the pixels' centres, and not of their corners.
        padding: the colour of the padding, RGB of 0..255.
        input: the type of the input, "uint8" or "float32", of 0..255, RGB.
    """

    task: str
    name: str
    classes: tuple[str, ...]
    label_ids: tuple[int, ...]
    size: tuple[int, int] | None = None
    fit: tuple[int, int] | None = None
    padding: tuple[float, ...] = (0.0, 0.0, 0.0)
    input: str = "uint8"
    frame: tuple[int, int] | None = None
    half_pixel: bool = False

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)

    @classmethod
    def read(cls, text: str | None, where) -> Facts:
        """The facts that JSON holds.

        Raises:
            CheckpointError: if there is none, or it is not what `text` writes.
        """
        try:
            values = json.loads(text or "")
            return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
        except (ValueError, TypeError, AttributeError) as error:
            raise CheckpointError(
                "This model does not say what its classes and its input are.",
                where=where,
                got=f"no {NAME} in it" if text is None else f"{type(error).__name__}: {error}",
                expected=f"{NAME}, which `detkit export` puts into every model",
                fix="Export the model again with detkit.",
            ) from error

    def prepare(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The input [1, h, w, 3] for an image uint8 [H, W, 3], and the share [2] of its height and width in it."""
        import tensorflow as tf

        size = self._size(image.shape[:2])
        pixels = tf.cast(image[None], tf.float32)
        # The OD API's resize has no half-pixel centres, and none has antialiasing.
        x = tf.raw_ops.ResizeBilinear(images=pixels, size=size, half_pixel_centers=self.half_pixel).numpy()
        whole = np.empty((1, *self.size, 3), np.float32)
        whole[:] = np.float32(self.padding)
        whole[:, : size[0], : size[1]] = x
        given = np.rint(whole).astype(np.uint8) if self.input == "uint8" else whole
        return given, np.float32(size) / np.float32(self.size)

    def _size(self, size) -> tuple[int, int]:
        """The (height, width) that an image of this size gets."""
        if self.frame is not None:
            return _within(size, self.frame)
        return self.size if self.fit is None else _fitted(size, self.fit)


def _within(size, frame) -> tuple[int, int]:
    """Source: `resize_and_crop_image` of Model Garden."""
    size = np.float32(size)
    return tuple(int(n) for n in np.round(size * np.min(np.float32(frame) / size)))


def _fitted(size, limits) -> tuple[int, int]:
    """Source: `keep_aspect_ratio_resizer` of the OD API."""
    size, target = np.float32(size), np.float32(limits if size[0] < size[1] else limits[::-1])
    return tuple(int(n) for n in np.rint(np.min(target / size) * size))
