"""What a detector found in one image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detkit.errors import DataError


@dataclass(frozen=True)
class Detections:
    """Detections in one image, sorted by falling score.

    Attributes:
        boxes: float32 [N, 4], normalised [ymin, xmin, ymax, xmax].
        scores: float32 [N], 0..1.
        class_ids: int32 [N], zero-based indices into `classes`.
        classes: the class names.
        size: (height, width) of the image in pixels.
        source: where the image came from, for messages and file names.

    Raises:
        DataError: if the shapes disagree or a class id has no name.
    """

    boxes: np.ndarray
    scores: np.ndarray
    class_ids: np.ndarray
    classes: tuple[str, ...]
    size: tuple[int, int]
    source: str = ""

    def __post_init__(self):
        fields = {"boxes": np.float32, "scores": np.float32, "class_ids": np.int32}
        for name, dtype in fields.items():
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype))
        n = len(self.scores)
        if self.boxes.shape != (n, 4) or self.class_ids.shape != (n,):
            raise DataError(
                "The parts of a Detections differ in length.",
                where=self.source or None,
                got=f"boxes {self.boxes.shape}, scores {self.scores.shape}, class_ids {self.class_ids.shape}",
                expected=f"boxes ({n}, 4), scores ({n},), class_ids ({n},)",
            )
        if n and not 0 <= self.class_ids.min() <= self.class_ids.max() < len(self.classes):
            raise DataError(
                "A detection has a class id without a name.",
                where=self.source or None,
                got=f"ids {self.class_ids.min()}..{self.class_ids.max()}",
                expected=f"0..{len(self.classes) - 1}",
            )

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index) -> Detections:
        """The detections that a slice, an index array or a boolean mask selects."""
        return Detections(
            self.boxes[index], self.scores[index], self.class_ids[index], self.classes, self.size, self.source
        )

    def above(self, score: float) -> Detections:
        """Those with at least this score."""
        return self[self.scores >= score]

    def of_classes(self, names) -> Detections:
        """Those of the named classes."""
        wanted = [i for i, name in enumerate(self.classes) if name in set(names)]
        return self[np.isin(self.class_ids, wanted)]

    @property
    def labels(self) -> list[str]:
        """The class name of each detection."""
        return [self.classes[i] for i in self.class_ids]
