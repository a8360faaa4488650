"""What is learnt from a photo, as arrays: an image and what is true of it, for each kind of task."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from detkit import boxes as box_math
from detkit.data.augmentation.moving import MASK_SIDE
from detkit.data.batches import labels_of
from detkit.data.dataset import Dataset
from detkit.data.example import IGNORED
from detkit.data.sample import View
from detkit.errors import ConfigError, DataError

TASKS = ("detection", "localization", "classification", "multilabel", "segmentation")
_COMBINING = ("mosaic", "mixup", "copy_paste")


class Column(NamedTuple):
    """An array of an element.

    Attributes:
        name: in the truth; of the image, "".
        dtype: of numpy.
        shape: None for sides that differ from photo to photo.
        fill: what they are padded with.
    """

    name: str
    dtype: type
    shape: tuple
    fill: int = 0


_IMAGE = Column("", np.uint8, (None, None, 3))


class Task(NamedTuple):
    """A kind of task.

    Attributes:
        name: one of `TASKS`.
        wants: what it needs of views beside boxes.
        columns: the arrays of an element, the image first.
        values: view -> these arrays.
    """

    name: str
    wants: tuple[str, ...]
    columns: tuple[Column, ...]
    values: Callable[[View], tuple]

    def structured(self, values):
        """What comes beside the image: one value, or a mapping of several."""
        if len(self.columns) == 2:
            return values[0]
        return {column.name: value for column, value in zip(self.columns[1:], values, strict=True)}

    def check_augmentation(self, settings) -> None:
        """ConfigError for augmentation that shows several photos where one thing is to be told."""
        combining = [name for name in _COMBINING if settings is not None and getattr(settings, name)]
        other = {"classification": "multilabel", "localization": "detection"}.get(self.name)
        if combining and other:
            raise ConfigError(
                "This augmentation shows several photos in one image, of which one class is to be told.",
                where=f"augment.{combining[0]}",
                got=f"{getattr(settings, combining[0]):g} for {self.name}",
                expected="0",
                fix=f'Set it to 0, or take the task "{other}".',
            )


def task_of(name: str, dataset: Dataset, wants=()) -> Task:
    """The task of a name for a dataset.

    Raises:
        ConfigError: if there is none of that name, or `wants` are given for another than detection.
        DataError: if a picture doesn't have one class, and that is to be learnt.
    """
    if name not in TASKS:
        raise ConfigError("There is no such task.", where="task", got=repr(name), expected=", ".join(TASKS))
    if wants and name != "detection":
        raise ConfigError("Only detection learns this.", where="wants", got=", ".join(wants), expected="nothing")
    if name == "detection":
        return _detection(dataset, tuple(wants))
    if name == "localization":
        columns = Column("box", np.float32, (4,)), Column("class_id", np.int32, ()), Column("weight", np.float32, ())
        return Task(name, (), (_IMAGE, *columns), _largest)
    if name == "segmentation":
        column = Column("semantic", np.uint8, (None, None), IGNORED)
        return Task(name, ("semantic",), (_IMAGE, column), lambda view: (view.image, view.semantic))
    if name == "multilabel":
        count = len(dataset.classes)
        column = Column("labels", np.float32, (count,))
        return Task(name, ("labels",), (_IMAGE, column), lambda view: (view.image, _present(view.labels, count)))
    check_one_label(dataset, 'take the task "multilabel"')
    column = Column("label", np.int32, ())
    return Task(name, ("labels",), (_IMAGE, column), lambda view: (view.image, view.labels[0]))


def _detection(dataset: Dataset, wants: tuple[str, ...]) -> Task:
    count = dataset.keypoint_count
    objects = [Column("boxes", np.float32, (None, 4)), Column("class_ids", np.int32, (None,))]
    objects += [Column("weights", np.float32, (None,))]
    if "masks" in wants:
        objects += [Column("masks", np.uint8, (None, MASK_SIDE, MASK_SIDE))]
    if "keypoints" in wants:
        objects += [Column("keypoints", np.float32, (None, count, 2))]
        objects += [Column("keypoint_weights", np.float32, (None, count))]

    def values(view: View) -> tuple:
        rows = (getattr(view, column.name) for column in objects)
        some = (row if len(row) else np.zeros((1, *row.shape[1:]), row.dtype) for row in rows)
        return view.image, *some, np.int32(view.seed), np.array(view.image.shape, np.int32)

    views = Column("seed", np.int32, ()), Column("true_shapes", np.int32, (3,))
    return Task("detection", wants, (_IMAGE, *objects, *views), values)


def _largest(view: View) -> tuple:
    """The image, and box, class and weight of its largest object that counts; zeros if there is none."""
    if not len(view.boxes):
        return view.image, np.zeros(4, np.float32), np.int32(0), np.float32(0)
    n = np.lexsort((box_math.area(view.boxes), view.weights))[-1]
    return view.image, view.boxes[n], view.class_ids[n], view.weights[n]


def _present(labels: np.ndarray, count: int) -> np.ndarray:
    present = np.zeros(count, np.float32)
    present[labels] = 1
    return present


def check_one_label(dataset: Dataset, otherwise: str) -> None:
    """DataError if a picture doesn't have exactly one class, with what to do but to leave it out."""
    for example in dataset:
        labels = labels_of(example)
        if len(labels) != 1:
            raise DataError(
                "A picture doesn't have one class.",
                where=example.label,
                got=", ".join(dataset.classes[i] for i in labels) or "none",
                expected="one label, or objects of one class",
                fix=f"Leave it out, or {otherwise}.",
            )
