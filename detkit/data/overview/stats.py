"""What a dataset is made of: counts, sizes, shapes and places of its objects, and how well anchors can match them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np

from detkit.data.dataset import Dataset
from detkit.data.overview import report
from detkit.data.overview.coverage import AnchorIndex
from detkit.progress import progress

_MATCHED = 0.5
_CELLS = 32  # of the map of centres, in each direction
_LISTED = 20  # unmatched objects that are kept by name
_STEP = 2**17  # boxes between two steps of the progress bar


class Unmatched(NamedTuple):
    """An object that no anchor matches.

    Attributes:
        image: what its picture is called.
        box: its number in the picture's example.
        class_name: what it is.
        size: its (height, width) in pixels of the model input.
        overlap: the highest IoU with any anchor.
    """

    image: str
    box: int
    class_name: str
    size: tuple[float, float]
    overlap: float


@dataclass(frozen=True, eq=False)
class Stats:
    """What a dataset is made of.

    Crowd regions and difficult objects, of which training asks nothing, are counted in `crowd` and `difficult`. All
    else is about the N other boxes, the objects.

    Attributes:
        name, classes: of the dataset.
        image_sizes: int [I, 2], (height, width) of each picture.
        input_sizes: int [I, 2], (height, width) that the model gives it.
        pictures: int [N], the number of each object's picture.
        class_ids: int [N].
        centres: float32 [N, 2], (y, x) of each object's centre, normalised.
        sides: float32 [N, 2], (height, width) of each object in pixels of the model input.
        crowd, difficult: boxes that are so marked; ignored: those that are either.
        masks, keypoints: objects that have a segmentation, or a labelled keypoint.
        labels: int [C], pictures that have the class as a label of the whole picture.
        labelled, class_maps: pictures that have such labels, or a class map.
        together: ((class id, other class id, pictures that have objects of both), ...), by falling number.
        overlaps: float32 [N], the highest IoU of each object with any anchor; or None.
        anchors: the most anchors that a picture has; or None.
        unmatched: the objects that are matched worst, at most 20, by rising overlap.
    """

    SIZES: ClassVar = ("small", "medium", "large")
    LIMITS: ClassVar = (32, 96)  # pixels; COCO's areas are small below 32 x 32, and large from 96 x 96 on
    MATCHED: ClassVar = _MATCHED  # the IoU from which an anchor matches an object

    name: str
    classes: tuple[str, ...]
    image_sizes: np.ndarray
    input_sizes: np.ndarray
    pictures: np.ndarray
    class_ids: np.ndarray
    centres: np.ndarray
    sides: np.ndarray
    crowd: int = 0
    difficult: int = 0
    ignored: int = 0
    masks: int = 0
    keypoints: int = 0
    labels: np.ndarray | None = None
    labelled: int = 0
    class_maps: int = 0
    together: tuple[tuple[int, int, int], ...] = ()
    overlaps: np.ndarray | None = None
    anchors: int | None = None
    unmatched: tuple[Unmatched, ...] = ()

    @property
    def images(self) -> int:
        """The number of pictures, I."""
        return len(self.image_sizes)

    @property
    def objects(self) -> int:
        """The number of objects, N."""
        return len(self.class_ids)

    @property
    def boxes(self) -> int:
        """The number of boxes, those of crowd regions and difficult objects with them."""
        return self.objects + self.ignored

    @property
    def per_image(self) -> np.ndarray:
        """The objects of each picture, int [I]."""
        return np.bincount(self.pictures, minlength=self.images)

    @property
    def per_class(self) -> np.ndarray:
        """The objects of each class, int [C]."""
        return np.bincount(self.class_ids, minlength=len(self.classes))

    @property
    def images_per_class(self) -> np.ndarray:
        """The pictures that have an object of each class, int [C]."""
        return np.bincount(_pairs(self.pictures, self.class_ids)[1], minlength=len(self.classes))

    @property
    def mean_sides(self) -> np.ndarray:
        """The side of the square of each object's area, float32 [N], in pixels of the model input."""
        return np.sqrt(self.sides.prod(axis=1))

    @property
    def size_ids(self) -> np.ndarray:
        """Which of `SIZES` each object is, int [N], in the model input."""
        return np.digitize(self.mean_sides, self.LIMITS)

    @property
    def aspect_ratios(self) -> np.ndarray:
        """Width / height of each object in the model input, float32 [N]."""
        return self.sides[:, 1] / self.sides[:, 0]

    @property
    def centre_counts(self) -> np.ndarray:
        """Objects whose centre lies in each cell of a picture, int [32, 32]."""
        cells = np.minimum((self.centres * _CELLS).astype(int), _CELLS - 1)
        return np.bincount(cells @ [_CELLS, 1], minlength=_CELLS**2).reshape(_CELLS, _CELLS)

    @property
    def pixels_of(self) -> str:
        """Of what the pixels are in which objects are measured, in words."""
        if np.array_equal(self.image_sizes, self.input_sizes):
            return "the images"
        inputs = np.unique(self.input_sizes, axis=0)
        shape = f", {inputs[0, 0]} x {inputs[0, 1]} (height x width)" if len(inputs) == 1 else ""
        return f"the model input{shape}"

    def recall(self, threshold: float = _MATCHED, chosen=slice(None)) -> float:
        """The share of objects that some anchor overlaps by this IoU; NaN without objects or anchors.

        Args:
            threshold: the IoU.
            chosen: which objects, an index array or a boolean mask [N].
        """
        overlaps = np.zeros(0) if self.overlaps is None else self.overlaps[chosen]
        return float((overlaps >= threshold).mean()) if len(overlaps) else float("nan")

    def to_json(self) -> dict:
        """All numbers as lists and mappings; None where one is undefined."""
        return report.numbers(self)

    def table(self) -> str:
        """The numbers as text: the classes by falling number of objects, then what is true of all."""
        return report.table(self)


def stats(
    dataset: Dataset,
    size_of: Callable | None = None,
    anchors: Callable | None = None,
    show_progress: bool | None = None,
) -> Stats:
    """Counts and measures what a dataset is made of; no picture is opened.

    Args:
        dataset: the annotated pictures.
        size_of: (height, width) of a photo -> that which the model gives it; by default its own.
        anchors: (height, width) of a photo -> [A, 4] yxyx in pixels of the model input, in whose upper left corner the
            photo lies, or an `AnchorIndex` of them. Where it gives the same one for many sizes, it is quick.
        show_progress: as for `detkit.progress.progress`.

    Example:
        >>> stats = detkit.data.stats(detkit.data.read("ducky/train.json"))
        >>> stats.images, stats.objects
        (5, 5)
    """
    sizes = np.array([example.size for example in dataset], int).reshape(-1, 2)
    input_sizes = _of_each_size(sizes, size_of)
    objects = _objects(dataset)
    boxes = _joined(dataset, "boxes", np.float32).reshape(-1, 4)[objects.rows]
    scaled = boxes * np.tile(input_sizes, 2)[objects.pictures]  # [N, 4] * [N, 4]
    found = Stats(
        dataset.name,
        dataset.classes,
        image_sizes=sizes,
        input_sizes=input_sizes,
        pictures=objects.pictures,
        class_ids=objects.class_ids,
        centres=(boxes[:, :2] + boxes[:, 2:]) / 2,
        sides=(scaled[:, 2:] - scaled[:, :2]).astype(np.float32),
        together=_together(*_pairs(objects.pictures, objects.class_ids)),
        **_counts(dataset),
    )
    if anchors is None:
        return found
    groups = _by_anchors(sizes, input_sizes, anchors)
    overlaps, most = _best_overlaps(scaled, objects.pictures, len(dataset), groups, show_progress)
    unmatched = _unmatched(dataset, objects, found.sides, overlaps)
    return replace(found, overlaps=overlaps, anchors=most, unmatched=unmatched)


class _Objects(NamedTuple):
    """The boxes that count, all [N].

    Attributes:
        rows: their rows among all boxes.
        pictures: the numbers of their pictures.
        numbers: their rows in their pictures' boxes.
        class_ids: what they are.
    """

    rows: np.ndarray
    pictures: np.ndarray
    numbers: np.ndarray
    class_ids: np.ndarray


def _objects(dataset: Dataset) -> _Objects:
    rows = np.flatnonzero(~(_joined(dataset, "crowd", bool) | _joined(dataset, "difficult", bool)))
    counts = np.array([len(example) for example in dataset], int)
    pictures = np.repeat(np.arange(len(dataset)), counts)[rows]
    numbers = rows - (np.cumsum(counts) - counts)[pictures]
    return _Objects(rows, pictures, numbers, _joined(dataset, "class_ids", int)[rows])


def _counts(dataset: Dataset) -> dict:
    """What `Stats` counts of boxes that don't count, and of all that is no box."""
    crowd, difficult = (_joined(dataset, name, bool) for name in ("crowd", "difficult"))
    return {
        "crowd": int(crowd.sum()),
        "difficult": int(difficult.sum()),
        "ignored": int((crowd | difficult).sum()),
        "masks": _with_masks(dataset),
        "keypoints": _with_keypoints(dataset),
        "labels": np.bincount(_joined(dataset, "image_labels", int), minlength=len(dataset.classes)),
        "labelled": sum(len(example.image_labels) > 0 for example in dataset),
        "class_maps": sum(example.class_map is not None for example in dataset),
    }


def _unmatched(dataset: Dataset, objects: _Objects, sides: np.ndarray, overlaps: np.ndarray) -> tuple[Unmatched, ...]:
    worst = [int(row) for row in np.argsort(overlaps, kind="stable")[:_LISTED] if overlaps[row] < _MATCHED]
    return tuple(
        Unmatched(
            image=dataset[int(objects.pictures[row])].label,
            box=int(objects.numbers[row]),
            class_name=dataset.classes[objects.class_ids[row]],
            size=tuple(sides[row].tolist()),
            overlap=float(overlaps[row]),
        )
        for row in worst
    )


def _joined(dataset: Dataset, name: str, dtype) -> np.ndarray:
    """The arrays of all examples, one after the other."""
    return np.concatenate([np.zeros(0, dtype), *(getattr(example, name).ravel() for example in dataset)]).astype(dtype)


def _of_each_size(sizes: np.ndarray, size_of: Callable | None) -> np.ndarray:
    """size_of of each row of [I, 2], called once for each different one."""
    if size_of is None or not len(sizes):
        return sizes
    different, which = np.unique(sizes, axis=0, return_inverse=True)
    return np.array([size_of((int(height), int(width))) for height, width in different], int)[which.ravel()]


def _with_masks(dataset: Dataset) -> int:
    masked = (example for example in dataset if example.segmentations is not None)
    return sum(
        each is not None and bool(counts)
        for example in masked
        for each, counts in zip(example.segmentations, example.counts, strict=True)
    )


def _with_keypoints(dataset: Dataset) -> int:
    pointed = (example for example in dataset if example.keypoints is not None)
    return sum(int((example.keypoint_visibility.any(axis=1) & example.counts).sum()) for example in pointed)


def _pairs(pictures: np.ndarray, class_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each picture and class that belong together, once, sorted by picture."""
    width = int(class_ids.max(initial=0)) + 1
    return np.divmod(np.unique(pictures.astype(np.int64) * width + class_ids), width)


def _together(pictures: np.ndarray, class_ids: np.ndarray) -> tuple[tuple[int, int, int], ...]:
    """How many pictures have both of two classes, from the sorted pairs of picture and class."""
    starts, counts = np.unique(pictures, return_index=True, return_counts=True)[1:]
    width, keys = int(class_ids.max(initial=0)) + 1, [np.zeros(0, np.int64)]
    for count in np.unique(counts[counts > 1]):
        rows = class_ids[starts[counts == count][:, None] + np.arange(count)]  # [pictures, count], rising
        first, second = np.triu_indices(count, 1)
        keys.append((rows[:, first] * width + rows[:, second]).ravel())
    keys, numbers = np.unique(np.concatenate(keys), return_counts=True)
    order = np.argsort(-numbers, kind="stable")
    return tuple((int(keys[i]) // width, int(keys[i]) % width, int(numbers[i])) for i in order)


def _by_anchors(sizes: np.ndarray, input_sizes: np.ndarray, anchors: Callable) -> Iterator[tuple]:
    """(anchors, pictures int [n]) for each run of pictures with the same anchors."""
    keys = np.concatenate([sizes, input_sizes], axis=1)
    order = np.lexsort(keys.T)  # photos that the model makes equal are neighbours
    different = np.flatnonzero((np.diff(keys[order], axis=0) != 0).any(axis=1)) + 1
    last, run = None, []
    for pictures in np.split(order, different) if len(order) else ():
        given = anchors(tuple(sizes[pictures[0]].tolist()))
        if given is not last and run:
            yield last, np.concatenate(run)
            run = []
        last = given
        run.append(pictures)
    if run:
        yield last, np.concatenate(run)


def _best_overlaps(boxes, pictures, images: int, groups, show_progress) -> tuple[np.ndarray, int]:
    """(the highest IoU of each box with an anchor of its picture, float32 [N]; the most anchors of a picture)."""
    best, most = np.zeros(len(boxes), np.float32), 0
    starts = np.searchsorted(pictures, np.arange(images + 1))
    with progress(total=len(boxes), description="anchors", show=show_progress) as bar:
        for anchors, members in groups:
            rows = np.concatenate([np.zeros(0, int), *(np.arange(starts[m], starts[m + 1]) for m in members)])
            index = anchors if isinstance(anchors, AnchorIndex) else AnchorIndex(anchors)
            most = max(most, len(index))
            for part in np.split(rows, range(_STEP, len(rows), _STEP)):
                best[part] = index.best_overlaps(boxes[part])
                bar.update(len(part))
    return best, most
