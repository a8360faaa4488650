"""How Model Garden brings images to the size of its models: `preprocess_ops.resize_and_crop_image`."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


class Letterbox:
    """Resizes images into a frame, at whose top left they then lie; what is beside them is padding.

    Args:
        size: (height, width) of the frame.
        stride: the padded frame is the next multiple of it.
        keep_aspect_ratio: False stretches the image to the frame.
    """

    def __init__(self, size: tuple[int, int], stride: int = 1, keep_aspect_ratio: bool = True):
        self.size, self.keep_aspect_ratio = tuple(size), keep_aspect_ratio
        self.input_size = tuple(-(-side // stride) * stride for side in size)

    def resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (height, width) that an image of this size gets."""
        if not self.keep_aspect_ratio:
            return self.size
        image, frame = np.array(size, np.float32), np.array(self.size, np.float32)
        height, width = np.maximum(np.round(image * (frame / image).min()), 1)
        return int(height), int(width)

    def __call__(self, image: np.ndarray):
        """An image uint8 [H, W, 3] in its new size, float32 of 0..255."""
        return tf.image.resize(tf.cast(image, tf.float32), self.resized(image.shape[:2]))


class ShortSide(Letterbox):
    """Resizes images until their short side has some length, or their long side fills the frame.

    Source: `preprocess_ops.resize_image`.

    Args:
        size: (height, width) of the frame; short_side: the length.
    """

    def __init__(self, size: tuple[int, int], short_side: int):
        super().__init__(size)
        self.short_side = short_side

    def resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (height, width) that an image of this size gets; no side is less than 1 or longer than the frame's."""
        image, longest = np.array(size, np.float32), np.float32(max(self.size))
        short, long = image.min(), image.max()
        side = self.short_side
        if long / short * side > longest:
            side = int(np.floor(longest * short / long))
        height, width = (int(np.float32(side) * own / short) for own in image)
        if height > self.size[0] or width > self.size[1] or not side:  # where Model Garden fails
            height, width = super().resized(size)
        return max(height, 1), max(width, 1)


def normalize(x):
    """Pixels of 0..255 -> what Model Garden's backbones take; source: `preprocess_ops.normalize_image`."""
    return (x / 255.0 - tf.constant(MEAN)) / tf.constant(DEVIATION)
