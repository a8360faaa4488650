"""The light of a scene, and the camera that takes it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detkit.data.synthesis.backgrounds import noise


@dataclass(frozen=True)
class Light:
    """The light of a scene: a gain [H, W, 3], the amount of camera noise, and the radius of its blur in pixels."""

    gain: np.ndarray
    grain: float
    blur: float = 0.0

    @staticmethod
    def draw(
        rng: np.random.Generator, size: tuple[int, int], gain=(0.6, 1.15), strength: float = 1.0, blur: float = 0.0
    ) -> Light:
        """Dim or bright by a gain from this range, warm or cool, uneven over the picture.

        Args:
            rng: decides everything.
            size: (height, width).
            gain: the range of the brightness.
            strength: 0..1, of the tint, the unevenness and the noise.
            blur: up to which radius in pixels; 0 for none.
        """
        warmth = rng.uniform(-0.12, 0.12) * strength
        tint = np.array([1 + warmth, 1, 1 - warmth], np.float32)
        uneven = (1 - 0.25 * strength) + 0.5 * strength * noise(rng, size, 1, 2)
        gains = rng.uniform(*gain) * uneven[..., None] * tint
        grain = rng.uniform(0.005, 0.025) * strength
        return Light(gains, grain, rng.uniform(0, blur) if blur else 0.0)

    def on(self, scene: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The picture uint8 [H, W, 3] that a camera takes of a scene [H, W, 3] in this light."""
        lit = scene * self.gain
        if self.blur >= 0.2:  # less does nothing
            import cv2

            lit = cv2.GaussianBlur(lit, (0, 0), self.blur)
        grain = rng.standard_normal(scene.shape, np.float32)
        grain *= self.grain
        lit += grain
        np.clip(lit, 0, 1, out=lit)
        lit *= 255
        return np.rint(lit, out=lit).astype(np.uint8)
