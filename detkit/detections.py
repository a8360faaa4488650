"""What a detector found in one image."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
        masks: float32 [N, h, w] of 0..1, each stretched over its own box, or None.
        keypoints: float32 [N, K, 2], normalised (y, x) of the image, or None.
        keypoint_scores: float32 [N, K], or None.

    Raises:
        DataError: if the shapes disagree or a class id has no name.
    """

    boxes: np.ndarray
    scores: np.ndarray
    class_ids: np.ndarray
    classes: tuple[str, ...]
    size: tuple[int, int]
    source: str = ""
    masks: np.ndarray | None = None
    keypoints: np.ndarray | None = None
    keypoint_scores: np.ndarray | None = None

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
        for name, tail in (("masks", 2), ("keypoints", 2), ("keypoint_scores", 1)):
            value = getattr(self, name)
            if value is None:
                continue
            object.__setattr__(self, name, np.asarray(value, np.float32))
            if len(value) != n or np.ndim(value) != 1 + tail:
                raise DataError(
                    f"The {name} of a Detections do not fit its boxes.",
                    where=self.source or None,
                    got=np.shape(value),
                    expected=f"{n} rows and {tail} more axes",
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
        columns = ("boxes", "scores", "class_ids", "masks", "keypoints", "keypoint_scores")
        given = {name: getattr(self, name) for name in columns}
        return replace(self, **{name: value[index] for name, value in given.items() if value is not None})

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
