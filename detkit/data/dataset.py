"""`Example`, one annotated picture, and `Dataset`, a sequence of them: immutable and checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from detkit import boxes as box_math
from detkit import masks as mask_math
from detkit.data import images
from detkit.data.encoded import EncodedImage
from detkit.data.problems import Problem
from detkit.errors import DataError


def _column(example: Example, name: str, dtype, fill) -> np.ndarray:
    """A read-only array [N] of a dtype; filled where no value is given."""
    value, n = getattr(example, name), len(example.boxes)
    array = np.full(n, fill, dtype) if value is None else np.array(value, dtype)
    if array.shape != (n,):
        what = f"{name} differs in length from the boxes."
        raise DataError(what, where=example.label, got=array.shape, expected=(n,))
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class Example:
    """One picture and the objects in it.

    Attributes:
        image: the path of a picture, a picture inside another file, or uint8 [H, W, 3] RGB.
        boxes: float32 [N, 4], normalised [ymin, xmin, ymax, xmax], inside 0..1, of positive area.
        class_ids: int32 [N], zero-based indices into the dataset's classes.
        size: (height, width) in pixels, EXIF orientation applied, as the annotation gives it.
        crowd: bool [N], regions of many objects that neither training nor evaluation counts; none by default.
        difficult: bool [N], objects that VOC evaluation leaves out; none by default.
        area: float32 [N], the annotation's own areas in square pixels; NaN where it gives none.
        segmentations: for each object its COCO segmentation as the annotation gives it, None for an object without;
            or None if there are none at all. `masks` decodes them.
        keypoints: float32 [N, K, 2], normalised (y, x), or None.
        keypoint_visibility: int8 [N, K]: 0 not labelled, 1 hidden, 2 visible; where there are keypoints, 2 by default.
        image_id: the annotation's id of the picture.
        source: where the annotation came from, for messages.

    Raises:
        DataError: if an array has the wrong shape, or a box, a segmentation or a keypoint is not as above.
    """

    image: Path | EncodedImage | np.ndarray
    boxes: np.ndarray
    class_ids: np.ndarray
    size: tuple[int, int]
    crowd: np.ndarray | None = None
    difficult: np.ndarray | None = None
    area: np.ndarray | None = None
    image_id: int | str = ""
    source: str = ""
    segmentations: tuple | None = None
    keypoints: np.ndarray | None = None
    keypoint_visibility: np.ndarray | None = None

    def __post_init__(self):
        set_ = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        if isinstance(self.image, np.ndarray):
            self._check_pixels()
        elif not isinstance(self.image, EncodedImage):
            set_("image", Path(self.image))
        set_("size", (int(self.size[0]), int(self.size[1])))
        boxes = np.array(self.boxes, np.float32)
        boxes = boxes.reshape(0, 4) if boxes.size == 0 else boxes
        bad = np.flatnonzero(~box_math.valid(boxes))
        if bad.size:
            raise DataError(
                "A box is not a box inside the image.",
                where=f"{self.label}, box {bad[0]}",
                got=[float(v) for v in boxes[bad[0]]],
                expected="0 <= ymin < ymax <= 1 and 0 <= xmin < xmax <= 1",
                fix="Convert the boxes with detkit.boxes.convert, then clip or drop those outside.",
            )
        boxes.setflags(write=False)
        set_("boxes", boxes)
        columns = (
            ("class_ids", np.int32, 0),
            ("crowd", bool, 0),
            ("difficult", bool, 0),
            ("area", np.float32, np.nan),
        )
        for name, dtype, fill in columns:
            set_(name, _column(self, name, dtype, fill))
        if self.segmentations is not None:
            set_("segmentations", tuple(self.segmentations))
            self._check_segmentations()
        if self.keypoints is not None or self.keypoint_visibility is not None:
            for name, values in zip(("keypoints", "keypoint_visibility"), _checked_keypoints(self), strict=True):
                values.setflags(write=False)
                set_(name, values)

    def _check_segmentations(self):
        given = self.segmentations
        if len(given) != len(self):
            what = "segmentations differs in length from the boxes."
            raise DataError(what, where=self.label, got=len(given), expected=len(self))
        for i, segmentation in enumerate(given):
            try:
                if segmentation is not None:
                    mask_math.check(segmentation, self.size)
            except DataError as error:
                where = f"{self.label}, box {i}"
                raise DataError(
                    error.what, where=where, got=error.got, expected=error.expected, fix=error.fix
                ) from None

    def _check_pixels(self):
        shape, dtype = self.image.shape, self.image.dtype
        if dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or shape[:2] != tuple(self.size):
            raise DataError(
                "The image array is not a picture of the given size.",
                where=self.source or None,
                got=f"{dtype} {list(shape)}",
                expected=f"uint8 [{self.size[0]}, {self.size[1]}, 3]",
            )

    def __len__(self) -> int:
        return len(self.boxes)

    def masks(self) -> np.ndarray:
        """bool [N, H, W]: the pixels of each object, none where it has no segmentation."""
        decoded = np.zeros((len(self), *self.size), bool)
        for i, segmentation in enumerate(self.segmentations or ()):
            if segmentation is not None:
                decoded[i] = mask_math.decode(segmentation, self.size)
        return decoded

    @property
    def label(self) -> str:
        """What to call this example in messages: the path of its picture, or its source and id."""
        if not isinstance(self.image, np.ndarray):
            return str(self.image)
        return " ".join(str(part) for part in (self.source, self.image_id) if part != "") or "an image array"

    def pixels(self) -> np.ndarray:
        """The picture, uint8 [H, W, 3] RGB.

        Raises:
            MediaError: if it can't be decoded.
            DataError: if its size is not the annotated one: the boxes would lie elsewhere than drawn.
        """
        if isinstance(self.image, np.ndarray):
            return self.image
        pixels = images.decode(self.image)
        if pixels.shape[:2] != self.size:
            problem = size_problem(self)
            raise DataError(problem.what, **problem.details())
        return pixels


def _checked_keypoints(example: Example) -> tuple[np.ndarray, np.ndarray]:
    """Copies of an example's keypoints and their visibility; DataError if they are not what they should be."""
    keypoints, n = example.keypoints, len(example.boxes)
    keypoints = np.array(np.nan if keypoints is None else keypoints, np.float32)
    if keypoints.ndim != 3 or len(keypoints) != n or keypoints.shape[2] != 2 or not np.isfinite(keypoints).all():
        got = f"shape {keypoints.shape}, {np.count_nonzero(~np.isfinite(keypoints))} values not finite"
        what, expected = "These are no keypoints of the boxes.", f"finite [{n}, K, 2]"
        raise DataError(what, where=example.label, got=got, expected=expected)
    visibility = example.keypoint_visibility
    visibility = np.array(np.full(keypoints.shape[:2], 2) if visibility is None else visibility, np.int8)
    if visibility.shape != keypoints.shape[:2] or not np.isin(visibility, (0, 1, 2)).all():
        what = "The visibility of the keypoints is not as it should be."
        got = f"shape {visibility.shape}, values {np.unique(visibility)[:5].tolist()}"
        raise DataError(what, where=example.label, got=got, expected=f"0, 1 or 2, shape {keypoints.shape[:2]}")
    return keypoints, visibility


def size_problem(example: Example) -> Problem | None:
    """What is wrong with the annotated size of a picture file, if anything; reads its header."""
    (height, width), orientation = images.stored_size(example.image)
    upright = (width, height) if orientation >= 5 else (height, width)
    if upright == example.size:
        return None
    if orientation >= 5 and (height, width) == example.size:
        what = "The annotation has the size of the photo before its EXIF rotation."
        fix = (
            f"If the boxes were drawn on the unrotated photo, remove its EXIF orientation ({orientation}); "
            "if they were drawn on the upright one, swap width and height in the annotation."
        )
    else:
        what = "The picture has another size than its annotation says."
        fix = "Correct width and height in the annotation, or restore the picture that was annotated."
    return Problem(
        "error",
        what,
        file=example.source,
        image=str(example.image),
        fix=fix,
        got=f"a picture of {upright[0]} x {upright[1]} (height x width)",
        expected=f"{example.size[0]} x {example.size[1]}, as in the annotation",
    )


@dataclass(frozen=True, eq=False)
class Dataset:
    """A sequence of examples and what their class ids mean.

    Attributes:
        examples: the examples, in the order of the file they came from.
        classes: the class names; an example's class ids are indices into them.
        label_ids: the label-map or category id of each class, gaps and all; 1, 2, ... by default.
        name: what to call the dataset in messages and reports.
        problems: what reading found and put right, or left out.
        keypoint_names: what the keypoints of an object are called, K names, or none.
        skeleton: pairs of indices of keypoints, the lines between them.

    Raises:
        DataError: if two classes share a name or an id, an example has a class id without a name, or the numbers of
            keypoints differ.

    Example:
        >>> train = data.sample(10, seed=0)
        >>> test = data.without(train)
    """

    examples: tuple[Example, ...]
    classes: tuple[str, ...]
    label_ids: tuple[int, ...] = ()
    name: str = "dataset"
    problems: tuple[Problem, ...] = field(default=(), repr=False)
    keypoint_names: tuple[str, ...] = ()
    skeleton: tuple[tuple[int, int], ...] = ()

    def __post_init__(self):
        for name in ("examples", "classes", "label_ids", "problems", "keypoint_names"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "skeleton", tuple(tuple(map(int, pair)) for pair in self.skeleton))
        if not self.label_ids:
            object.__setattr__(self, "label_ids", tuple(range(1, len(self.classes) + 1)))
        if len(self.label_ids) != len(self.classes):
            raise DataError(
                "Each class needs one label id.",
                where=self.name,
                got=len(self.label_ids),
                expected=len(self.classes),
            )
        for what, values in (("name", self.classes), ("label id", self.label_ids)):
            twice = next((v for i, v in enumerate(values) if v in values[:i]), None)
            if twice is not None:
                raise DataError(f"Two classes have the same {what}.", where=self.name, got=repr(twice))
        for example in self.examples:
            ids = example.class_ids
            if ids.size and not 0 <= ids.min() <= ids.max() < len(self.classes):
                raise DataError(
                    "A class id has no name.",
                    where=example.label,
                    got=f"ids {ids.min()}..{ids.max()}",
                    expected=f"0..{len(self.classes) - 1}",
                )
        self._check_keypoints()

    def _check_keypoints(self):
        counts = {example.keypoints.shape[1]: example for example in self if example.keypoints is not None}
        known = len(self.keypoint_names) or next(iter(counts), 0)
        for count, example in counts.items():
            if count != known:
                what = "An example has another number of keypoints than the dataset."
                raise DataError(what, where=f"{self.name}: {example.label}", got=count, expected=known)
        ends = {end for pair in self.skeleton for end in pair}
        if any(len(pair) != 2 for pair in self.skeleton) or (known and not ends <= set(range(known))):
            what = "The skeleton is not pairs of indices of keypoints."
            raise DataError(what, where=self.name, got=str(self.skeleton)[:80], expected=f"pairs of 0..{known - 1}")

    @property
    def has_masks(self) -> bool:
        """Whether any object has a segmentation."""
        return any(each is not None for example in self for each in example.segmentations or ())

    @property
    def has_keypoints(self) -> bool:
        """Whether any object has a labelled keypoint."""
        return any(example.keypoints is not None and example.keypoint_visibility.any() for example in self)

    @property
    def keypoint_count(self) -> int:
        """How many keypoints an object has, K; 0 if there are none."""
        return next((e.keypoints.shape[1] for e in self if e.keypoints is not None), len(self.keypoint_names))

    def __len__(self) -> int:
        return len(self.examples)

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    def __getitem__(self, index: int | slice):
        """An Example for an index, a Dataset for a slice."""
        return replace(self, examples=self.examples[index]) if isinstance(index, slice) else self.examples[index]

    def __repr__(self) -> str:
        boxes = sum(len(example) for example in self.examples)
        return f"Dataset({self.name!r}: {len(self)} images, {boxes} boxes, classes {list(self.classes)})"

    def _select(self, indices: Iterable[int]) -> Dataset:
        return replace(self, examples=tuple(self.examples[i] for i in indices))

    def sample(self, n: int, seed: int) -> Dataset:
        """`n` examples drawn without replacement, in their original order; DataError if there are fewer."""
        if not 0 <= n <= len(self):
            raise DataError("Can't draw that many examples.", where=self.name, got=n, expected=f"0..{len(self)}")
        return self._select(sorted(np.random.default_rng(seed).permutation(len(self))[:n]))

    def split(self, fraction: float, seed: int = 0) -> tuple[Dataset, Dataset]:
        """Two datasets by chance: `fraction` of the examples, rounded, and the rest."""
        if not 0 <= fraction <= 1:
            raise DataError("A split needs a fraction.", where=self.name, got=fraction, expected="0..1")
        first = self.sample(round(fraction * len(self)), seed)
        return first, self.without(first)

    def without(self, other: Dataset) -> Dataset:
        """The examples whose picture is not in `other`."""
        seen = {_identity(example) for example in other}
        return self._select(i for i, example in enumerate(self.examples) if _identity(example) not in seen)

    def with_classes(self, classes: Iterable[str]) -> Dataset:
        """The same examples with class ids for another list of classes, matched by name.

        A validation set read by itself may list its classes in another order, or lack one.

        Raises:
            DataError: if a class that has boxes is not in the list.
        """
        classes = tuple(classes)
        table = np.array([classes.index(name) if name in classes else -1 for name in self.classes] or [-1], np.int32)
        used = {int(i) for example in self.examples for i in np.unique(example.class_ids)}
        unknown = [self.classes[i] for i in sorted(used) if table[i] < 0]
        if unknown:
            raise DataError(
                "Some classes of this dataset are unknown there.",
                where=self.name,
                got=", ".join(unknown),
                expected=", ".join(classes),
                fix="Rename these classes, or add them to the other list.",
            )
        examples = tuple(replace(example, class_ids=table[example.class_ids]) for example in self.examples)
        known = dict(zip(self.classes, self.label_ids, strict=True))
        ids = tuple(known.get(name, -1) for name in classes)
        complete = -1 not in ids and len(set(ids)) == len(ids)
        return replace(self, examples=examples, classes=classes, label_ids=ids if complete else ())


def _identity(example: Example):
    """What makes two examples the same picture: its path, or for arrays the array itself."""
    image = example.image
    return str(image.absolute()) if isinstance(image, Path) else id(image) if isinstance(image, np.ndarray) else image
