"""From a picture of any size to the size that a model reads. Source: `image_resizer_builder` of the OD API."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from detkit.errors import ConfigError
from detkit.visualize.draw import check_image

KNOWN = ("fixed_shape_resizer", "keep_aspect_ratio_resizer", "identity_resizer")


class Resizer:
    """What a config's `image_resizer` does.

    Args:
        config: the typed pipeline config; family: the name of its meta-architecture.

    Attributes:
        input_size: (height, width) of the padded model input, None where it follows the images.

    Raises:
        ConfigError: for a kind of resizing that detkit can't do.
    """

    def __init__(self, config, family: str):
        message = getattr(config.model, family).image_resizer
        self.fixed, self.aspect = message.fixed_shape_resizer, message.keep_aspect_ratio_resizer
        self._reject_unsupported(message, config, f"model.{family}.image_resizer")
        if self.fixed is not None:
            self.input_size = self.fixed.height, self.fixed.width
        elif self.aspect is not None and self.aspect.pad_to_max_dimension:
            self.input_size = (self.aspect.max_dimension,) * 2
        else:
            self.input_size = None

    def _reject_unsupported(self, message, config, path: str) -> None:
        kind = next((name for name in KNOWN if getattr(message, name) is not None), None)
        if kind is None:
            where = config.where(path)
            raise ConfigError("detkit can't resize images like this.", where=where, expected=" or ".join(KNOWN))
        expected = {"resize_method": "BILINEAR", "convert_to_grayscale": False, "per_channel_pad_value": ()}
        for name, value in expected.items():
            got = getattr(getattr(message, kind), name, value)
            if got != value and any(np.atleast_1d(got)):
                raise ConfigError(
                    "detkit can't resize images like this.",
                    where=config.where(f"{path}.{kind}.{name}"),
                    got=got,
                    expected="zeros" if value == () else value,
                    fix="Use a config of the TF2 Detection Model Zoo.",
                )

    def resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (height, width) that an image of this size gets before padding."""
        if self.fixed is not None:
            return self.input_size
        if self.aspect is None:
            return tuple(size)
        limits = (self.aspect.min_dimension, self.aspect.max_dimension)
        target = limits if size[0] < size[1] else limits[::-1]
        scale = min(np.float32(target[0]) / np.float32(size[0]), np.float32(target[1]) / np.float32(size[1]))
        return tuple(int(n) for n in np.rint(scale * np.asarray(size, np.float32)))

    def __call__(self, image: np.ndarray):
        """image: uint8 [H, W, 3] -> float32 [h, w, 3] of 0..255, not padded; DataError if it is not such an image."""
        size = self.resized(check_image(image).shape[:2])
        if size == image.shape[:2]:
            return tf.cast(image, tf.float32)
        # The OD API's resize: no antialiasing, no half-pixel centres.
        return tf.raw_ops.ResizeBilinear(images=image[None], size=size)[0]
