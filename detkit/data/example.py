"""`Example`, one annotated picture: immutable and checked."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

import numpy as np

from detkit import boxes as box_math
from detkit import masks as mask_math
from detkit.data import images
from detkit.data.class_map import IGNORED, ClassMap
from detkit.data.encoded import EncodedImage
from detkit.data.problems import Problem
from detkit.errors import DataError


@lru_cache(4096)
def constant(n: int, dtype, fill) -> np.ndarray:
    """A read-only array [n] of one value, the same array whenever it is asked for."""
    array = np.full(n, fill, dtype)
    array.setflags(write=False)
    return array


def _column(example: Example, name: str, dtype, fill) -> np.ndarray:
    """A read-only array [N] of a dtype; filled where no value is given."""
    value, n = getattr(example, name), len(example.boxes)
    if value is None:
        return constant(n, dtype, fill)
    array = np.array(value, dtype)
    if array.shape != (n,):
        what = f"{name} differs in length from the boxes."
        raise DataError(what, where=example.label, got=array.shape, expected=(n,))
    if dtype is np.int32 and n and ((array < 0).any() or (array != value).any()):
        what, expected = f"{name} are no ids of classes.", "whole numbers from 0"
        raise DataError(what, where=example.label, got=np.asarray(value)[:5].tolist(), expected=expected)
    array.setflags(write=False)
    return array


def _checked_size(example: Example) -> tuple[int, int]:
    try:
        height, width = map(int, example.size)
    except (TypeError, ValueError):
        height = width = 0
    if isinstance(example.size, str) or min(height, width) < 1:
        what, expected = "This is no size of a picture.", "(height, width) in pixels"
        raise DataError(what, where=example.label, got=repr(example.size), expected=expected)
    return height, width


@dataclass(frozen=True, eq=False, slots=True)
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
        image_labels: int32 [L], the classes of the picture as a whole, rising; none by default.
        class_map: the class of each pixel, a `ClassMap` or an array as `semantic` gives it; or None.
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
    image_labels: np.ndarray | None = None
    class_map: ClassMap | np.ndarray | None = None

    def __post_init__(self):
        set_ = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        if isinstance(self.image, np.ndarray):
            self._check_pixels()
        elif not isinstance(self.image, EncodedImage | Path):
            set_("image", Path(self.image))
        set_("size", _checked_size(self))
        set_("boxes", self._checked_boxes())
        columns = (
            ("class_ids", np.int32, 0),
            ("crowd", bool, 0),
            ("difficult", bool, 0),
            ("area", np.float32, np.nan),
        )
        for name, dtype, fill in columns:
            set_(name, _column(self, name, dtype, fill))
        if self.image_labels is None:
            set_("image_labels", constant(0, np.int32, 0))
        else:
            labels = np.array(self.image_labels, np.int32)
            labels = np.unique(labels) if labels.size > 1 or labels.ndim != 1 else labels
            labels.setflags(write=False)
            set_("image_labels", labels)
        if isinstance(self.class_map, np.ndarray):
            self._check_class_map()
        if self.segmentations is not None:
            set_("segmentations", tuple(self.segmentations))
            self._check_segmentations()
        if self.keypoints is not None or self.keypoint_visibility is not None:
            for name, values in zip(("keypoints", "keypoint_visibility"), _checked_keypoints(self), strict=True):
                values.setflags(write=False)
                set_(name, values)

    def _checked_boxes(self) -> np.ndarray:
        boxes = np.array(self.boxes, np.float32)
        boxes = boxes.reshape(0, 4) if boxes.size == 0 else boxes
        bad = () if _plainly_valid(boxes) else np.flatnonzero(~box_math.valid(boxes))
        if len(bad):
            raise DataError(
                "A box is not a box inside the image.",
                where=f"{self.label}, box {bad[0]}",
                got=[float(v) for v in boxes[bad[0]]],
                expected="0 <= ymin < ymax <= 1 and 0 <= xmin < xmax <= 1",
                fix="Convert the boxes with detkit.boxes.convert, then clip or drop those outside.",
            )
        boxes.setflags(write=False)
        return boxes

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

    def _check_class_map(self):
        shape, dtype = self.class_map.shape, self.class_map.dtype
        if dtype != np.uint8 or shape != self.size:
            expected = f"uint8 [{self.size[0]}, {self.size[1]}]"
            what = "The class map is not of the size of its picture."
            raise DataError(what, where=self.label, got=f"{dtype} {list(shape)}", expected=expected)

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

    @property
    def counts(self) -> np.ndarray:
        """bool [N]: the objects that are neither crowd regions nor difficult."""
        return ~(self.crowd | self.difficult)

    def masks(self) -> np.ndarray:
        """bool [N, H, W]: the pixels of each object, none where it has no segmentation."""
        decoded = np.zeros((len(self), *self.size), bool)
        for i, segmentation in enumerate(self.segmentations or ()):
            if segmentation is not None:
                decoded[i] = mask_math.decode(segmentation, self.size)
        return decoded

    def semantic(self) -> np.ndarray:
        """The class of each pixel, uint8 [H, W]: 0 for the background, class id + 1, or `IGNORED`.

        From the class map; without one from the objects' masks, where the smaller object lies on the larger one.

        Raises:
            DataError: if there is neither, a class map can't be decoded, is not of the picture's size or has a value
                without a class, or there are more than 254 classes.
        """
        if isinstance(self.class_map, np.ndarray):
            return self.class_map
        if self.class_map is not None:
            return self.class_map.decode(self.size)
        if self.segmentations is None and len(self):
            fix = "Annotate outlines, or class maps beside the pictures."
            raise DataError("This picture has boxes, but no masks.", where=self.label, fix=fix)
        return _painted(self)

    @property
    def label(self) -> str:
        """What to call this example in messages: the path of its picture, or its source and id."""
        if not isinstance(self.image, np.ndarray):
            return str(self.image)
        return " ".join(str(part) for part in (self.source, self.image_id) if part != "") or "an image array"

    @property
    def place(self) -> dict[str, str | None]:
        """The fields of a `Problem` that tell where it is."""
        return {"file": self.source or None, "image": self.label}

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


_SETTERS = tuple(getattr(Example, field.name).__set__ for field in fields(Example))


def trusted(
    image, boxes, class_ids, size, crowd, difficult, area, image_id, source,
    segmentations=None, keypoints=None, keypoint_visibility=None,
) -> Example:  # fmt: skip
    """An example of read-only arrays that are known to be as they should: nothing is checked, nothing copied.

    A reader that checks all boxes of a file together shares their arrays among the examples.
    """
    example = object.__new__(Example)
    values = (image, boxes, class_ids, size, crowd, difficult, area, image_id, source)
    more = (segmentations, keypoints, keypoint_visibility, constant(0, np.int32, 0), None)
    for set_, value in zip(_SETTERS, values + more, strict=True):
        set_(example, value)
    return example


def _plainly_valid(boxes: np.ndarray) -> bool:
    """Whether all boxes are valid; `boxes.valid` tells which are not, and takes three times as long."""
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        return False
    ordered = (boxes[:, 2:] > boxes[:, :2]).all()
    return not boxes.size or bool(ordered and boxes.min() >= 0 and boxes.max() <= 1)


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


def _painted(example: Example) -> np.ndarray:
    """The class of each pixel as the masks of the objects tell."""
    if len(example) and example.class_ids.max() >= IGNORED - 1:
        got, expected = f"class id {example.class_ids.max()}", f"0..{IGNORED - 2}"
        what, fix = "There are too many classes for a class map.", "Choose some with select_classes."
        raise DataError(what, where=example.label, got=got, expected=expected, fix=fix)
    masks = example.masks()
    painted = np.zeros(example.size, np.uint8)
    for n in np.argsort(-masks.sum((1, 2)), kind="stable"):
        painted[masks[n]] = example.class_ids[n] + 1
    return painted


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
    elif example.class_map is not None:
        what = "The picture and its class map have different sizes."
        fix = "Export the class map again at the size of the picture, or restore the picture that it was made for."
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
