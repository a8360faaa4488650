"""A photo and what is true of it, on its way through augmentation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class CutMask(NamedTuple):
    """The mask of an object, cut to the pixels around it.

    Attributes:
        inside: bool [h, w].
        top, left: the row and column of its first pixel in the photo.
    """

    inside: np.ndarray
    top: int
    left: int


class Sample(NamedTuple):
    """A photo with its objects; a step of augmentation takes one and gives one.

    Attributes:
        image: uint8 [H, W, 3].
        boxes: float32 [N, 4], normalised yxyx, inside the photo.
        class_ids: int32 [N].
        weights: float32 [N], 0 for an object that counts neither for nor against.
        masks: for each object its mask, None for an object without; or None if they are not wanted.
        keypoints: float32 [N, K, 2], normalised (y, x), or None.
        keypoint_weights: float32 [N, K], 0 for what is not labelled or not in the photo, or None.
        semantic: uint8 [H, W], the class of each pixel as `Example.semantic` gives it, or None if it is not wanted.
    """

    image: np.ndarray
    boxes: np.ndarray
    class_ids: np.ndarray
    weights: np.ndarray
    masks: tuple[CutMask | None, ...] | None = None
    keypoints: np.ndarray | None = None
    keypoint_weights: np.ndarray | None = None
    semantic: np.ndarray | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.image.shape[:2]

    def only(self, chosen) -> Sample:
        """The objects that an index array or a boolean mask selects."""
        rows = np.arange(len(self.boxes))[chosen]
        columns = ("boxes", "class_ids", "weights", "keypoints", "keypoint_weights")
        given = {name: getattr(self, name)[rows] for name in columns if getattr(self, name) is not None}
        masks = None if self.masks is None else tuple(self.masks[row] for row in rows)
        return self._replace(**given, masks=masks)
