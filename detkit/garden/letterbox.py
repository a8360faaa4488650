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
        height, width = np.round(image * (frame / image).min())
        return int(height), int(width)

    def __call__(self, image: np.ndarray):
        """An image uint8 [H, W, 3] in its new size, float32 of 0..255."""
        return tf.image.resize(tf.cast(image, tf.float32), self.resized(image.shape[:2]))


def normalize(x):
    """Pixels of 0..255 -> what Model Garden's backbones take; source: `preprocess_ops.normalize_image`."""
    return (x / 255.0 - tf.constant(MEAN)) / tf.constant(DEVIATION)
