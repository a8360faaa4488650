"""What a detector found in one image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from detkit import masks as mask_math
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
        masks: float32 [N, h, w] of 0..1, each over its own box, the outermost samples on its borders; or None.
        keypoints: float32 [N, K, 2], normalised (y, x) of the image, or None.
        keypoint_scores: float32 [N, K]; where there are keypoints, 1 by default.
        track_ids: int32 [N], the same number for the same object in every frame of a source, from 1; -1 for an object
            that is not followed (yet); or None where nothing is followed.

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
    track_ids: np.ndarray | None = None

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
        if self.keypoints is not None and self.keypoint_scores is None:
            object.__setattr__(self, "keypoint_scores", np.ones(np.shape(self.keypoints)[:2]))
        for name, tail in (("masks", 2), ("keypoints", 2), ("keypoint_scores", 1), ("track_ids", 0)):
            value = getattr(self, name)
            if value is None:
                continue
            object.__setattr__(self, name, np.asarray(value, np.float32 if tail else np.int32))
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
        columns = ("boxes", "scores", "class_ids", "masks", "keypoints", "keypoint_scores", "track_ids")
        given = {name: getattr(self, name) for name in columns}
        return replace(self, **{name: value[index] for name, value in given.items() if value is not None})

    def above(self, score: float) -> Detections:
        """Those with at least this score."""
        return self[self.scores >= score]

    def pasted(self, threshold: float = 0.5) -> np.ndarray:
        """The masks at the size of the image: bool [N, H, W], true from the threshold on; DataError if there are none.

        A mask is sampled at the centres of the pixels that lie in its box, bilinearly between those of its cells.
        """
        pixels = np.zeros((len(self), *self.size), bool)
        for n, (inside, (top, left)) in enumerate(self._inside(threshold)):
            pixels[n, top : top + inside.shape[0], left : left + inside.shape[1]] = inside
        return pixels

    def rles(self, threshold: float = 0.5) -> list[dict]:
        """`pasted` as COCO's {"size": [H, W], "counts": compressed text}, without making pictures of the masks."""
        return [mask_math.encode(inside, corner, self.size) for inside, corner in self._inside(threshold)]

    def _inside(self, threshold: float) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
        if self.masks is None and len(self):
            raise DataError(
                "These detections have no masks.",
                where=self.source or None,
                fix="Use a model that finds masks, such as mask_rcnn_inception_resnet_v2.",
            )
        for mask, box in zip(self.masks if len(self) else (), self.boxes, strict=True):
            values, corner = mask_math.paste(mask, box, self.size)
            yield values >= threshold, corner

    def of_classes(self, names) -> Detections:
        """Those of the named classes."""
        wanted = [i for i, name in enumerate(self.classes) if name in set(names)]
        return self[np.isin(self.class_ids, wanted)]

    @property
    def labels(self) -> list[str]:
        """The class name of each detection."""
        return [self.classes[i] for i in self.class_ids]
