"""`Segmented`, what a segmenter says of one image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Segmented:
    """The class of each pixel of an image.

    Attributes:
        class_map: uint8 [H, W]: 0 for the background, class id + 1 for a class, as `Example.semantic` gives it.
        scores: float16 [H, W], 0..1, the probability of that class; or None.
        classes: the names of the classes, without the background.
        size: (height, width).
        source: the file, "" if there is none.

    Example:
        >>> found = segmenter.segment("cells.png")[0]
        >>> found.mask("nucleus").sum(), found.shares["nucleus"]
    """

    class_map: np.ndarray
    scores: np.ndarray | None
    classes: tuple[str, ...]
    size: tuple[int, int]
    source: str = ""

    @property
    def labels(self) -> list[str]:
        """The names of the classes that the image has, in their order."""
        return [name for name, share in self.shares.items() if share]

    @property
    def shares(self) -> dict[str, float]:
        """The share of the pixels that each class has."""
        counts = np.bincount(self.class_map.ravel(), minlength=len(self.classes) + 1)
        return {name: int(n) / self.class_map.size for name, n in zip(self.classes, counts[1:], strict=False)}

    def mask(self, name: str) -> np.ndarray:
        """bool [H, W]: the pixels of the class of that name; ValueError if there is none."""
        return self.class_map == self.classes.index(name) + 1
