"""What cameras and files do to pictures: blur, noise, JPEG artefacts."""

from __future__ import annotations

from statistics import NormalDist

import cv2
import numpy as np

_QUANTILES = np.array([NormalDist().inv_cdf((n + 0.5) / 256) for n in range(256)])


def degrade(image: np.ndarray, settings, rng: np.random.Generator) -> np.ndarray:
    """A picture uint8 [h, w, 3] after the `blur`, `noise` and `jpeg` of a `detkit.pipeline.settings.Augment`."""
    if settings.blur > 0:
        image = blur(image, rng.uniform(0, settings.blur))
    if settings.noise > 0:
        image = noise(image, rng.uniform(0, settings.noise), rng)
    if settings.jpeg > 0:
        image = jpeg(image, round(100 - rng.uniform(0, settings.jpeg)))
    return image


def blur(image: np.ndarray, deviation: float) -> np.ndarray:
    """A Gaussian blur of a standard deviation in pixels."""
    return cv2.GaussianBlur(image, (0, 0), max(deviation, 1e-3))


def noise(image: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of a standard deviation in grey levels, independent in each value."""
    # A random byte chooses among 256 equally likely values: several times as fast as numbers from `rng`.
    levels = np.rint(_QUANTILES * deviation).astype(np.int16)
    grains = cv2.LUT(np.frombuffer(rng.bytes(image.size), np.uint8).reshape(image.shape), levels)
    return cv2.add(image, grains, dtype=cv2.CV_8U)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """What a JPEG file of a quality 0..100 keeps of a picture."""
    content = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.cvtColor(cv2.imdecode(content, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
