"""A photo and what is true of it, before augmentation (`Sample`) and after it (`View`)."""

from __future__ import annotations

from collections.abc import Sequence
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
    """A photo with its objects, in its own size.

    Attributes:
        image: uint8 [H, W, 3].
        boxes: float32 [N, 4], normalised yxyx, inside the photo.
        class_ids: int32 [N].
        weights: float32 [N], 0 for an object that counts neither for nor against.
        masks: for each object its mask, None for an object without; or None if they are not wanted.
        keypoints: float32 [N, K, 2], normalised (y, x), or None.
        keypoint_weights: float32 [N, K], 0 for what is not labelled or not in the photo, or None.
        semantic: uint8 [H, W], the class of each pixel as `Example.semantic` gives it, or None if it is not wanted.
        labels: int32 [L], rising, the classes of the whole picture, or None if they are not wanted.
    """

    image: np.ndarray
    boxes: np.ndarray
    class_ids: np.ndarray
    weights: np.ndarray
    masks: tuple[CutMask | None, ...] | None = None
    keypoints: np.ndarray | None = None
    keypoint_weights: np.ndarray | None = None
    semantic: np.ndarray | None = None
    labels: np.ndarray | None = None

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


class View(NamedTuple):
    """A photo as the model gets it.

    Attributes:
        image: uint8 [h, w, 3].
        boxes: float32 [N, 4], normalised yxyx.
        class_ids: int32 [N].
        weights: float32 [N], 0 for an object that counts neither for nor against.
        seed: differs from view to view; 0..2**31 - 1.
        masks: uint8 [N, S, S] of 0..255, each stretched over its own box, or None; empty for an object without.
        keypoints: float32 [N, K, 2], normalised (y, x), or None.
        keypoint_weights: float32 [N, K], 0 for what is not labelled or not in the view, or None.
        semantic: uint8 [h, w], the class of each pixel as `Example.semantic` gives it, 255 for what is beyond the
            photo or hidden, or None.
        labels: int32 [L], rising, the classes of the whole picture, of all photos that it shows, or None.
    """

    image: np.ndarray
    boxes: np.ndarray
    class_ids: np.ndarray
    weights: np.ndarray
    seed: int = 0
    masks: np.ndarray | None = None
    keypoints: np.ndarray | None = None
    keypoint_weights: np.ndarray | None = None
    semantic: np.ndarray | None = None
    labels: np.ndarray | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.image.shape[:2]

    def only(self, chosen) -> View:
        """The objects that an index array or a boolean mask selects."""
        return self._replace(**{name: value[chosen] for name, value in self.objects().items()})

    def objects(self) -> dict[str, np.ndarray]:
        """The arrays with a row for each object."""
        columns = ("boxes", "class_ids", "weights", "masks", "keypoints", "keypoint_weights")
        return {name: getattr(self, name) for name in columns if getattr(self, name) is not None}


def together(views: Sequence[View], image: np.ndarray, semantic: np.ndarray | None = None) -> View:
    """The objects and labels of several views in one picture; boxes and keypoints are already where they are there."""
    objects = {name: np.concatenate([view.objects()[name] for view in views]) for name in views[0].objects()}
    labels = None if views[0].labels is None else np.unique(np.concatenate([view.labels for view in views]))
    return View(image, **objects, semantic=semantic, labels=labels)
