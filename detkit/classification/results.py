"""What a classifier says of one image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detkit.errors import DataError


@dataclass(frozen=True)
class Classified:
    """The scores of the classes in one image.

    Attributes:
        scores: float32 [C], 0..1; of one class an image they add up to 1.
        classes: C names.
        size: (height, width) of the image in pixels.
        source: where the image came from, for messages and file names.

    Raises:
        DataError: if there is not one score for each class.
    """

    scores: np.ndarray
    classes: tuple[str, ...]
    size: tuple[int, int]
    source: str = ""

    def __post_init__(self):
        object.__setattr__(self, "scores", np.asarray(self.scores, np.float32))
        if self.scores.shape != (len(self.classes),) or not self.classes:
            raise DataError(
                "Each class has one score.",
                where=self.source or None,
                got=f"scores {self.scores.shape}, {len(self.classes)} classes",
                expected=f"({max(len(self.classes), 1)},)",
            )

    @property
    def class_id(self) -> int:
        """The index of the likeliest class; of equal ones the first."""
        return int(self.scores.argmax())

    @property
    def label(self) -> str:
        """The likeliest class."""
        return self.classes[self.class_id]

    @property
    def score(self) -> float:
        """The score of the likeliest class."""
        return float(self.scores[self.class_id])

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The k likeliest classes with their scores, by falling score."""
        best = np.argsort(-self.scores, kind="stable")[:k]
        return [(self.classes[i], float(self.scores[i])) for i in best]

    def above(self, score: float = 0.5) -> list[str]:
        """The classes with at least this score: where an image may have several, those that it has."""
        return [name for name, each in zip(self.classes, self.scores, strict=True) if each >= score]
