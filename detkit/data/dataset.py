"""`Dataset`, a sequence of annotated pictures and what their classes are called: immutable and checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from detkit.data.example import Example
from detkit.data.problems import Problem
from detkit.errors import DataError


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
