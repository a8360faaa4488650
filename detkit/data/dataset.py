"""`Dataset`, a sequence of annotated pictures and what their classes are called: immutable and checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from detkit.data import operations, splitting
from detkit.data.example import Example
from detkit.data.problems import Problem
from detkit.errors import DataError
from detkit.text import counted


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
        self._check_types()
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
        self._check_class_ids()
        self._check_keypoints()

    def _check_types(self):
        wrong = [each for each in self.examples if not isinstance(each, Example)][:1]
        if wrong:
            raise DataError("A dataset holds examples.", where=self.name, got=repr(wrong[0])[:80], expected="Example")
        if not all(isinstance(name, str) and name.strip() for name in self.classes):
            got, fix = repr(list(self.classes))[:80], "Name each class."
            raise DataError("A class has no name.", where=self.name, got=got, expected="texts", fix=fix)

    def _check_class_ids(self):
        known = range(len(self.classes))
        columns = [each for example in self.examples for each in (example.class_ids, example.image_labels)]
        ids = np.concatenate([np.zeros(0, np.int32), *columns])
        if not ids.size or (ids.min() in known and ids.max() in known):
            return
        both = ((example, np.concatenate([example.class_ids, example.image_labels])) for example in self.examples)
        example, ids = next((each, ids) for each, ids in both if any(i not in known for i in ids))
        got = f"ids {ids.min()}..{ids.max()}"
        raise DataError("A class id has no name.", where=example.label, got=got, expected=f"0..{len(known) - 1}")

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

    @property
    def size_in_words(self) -> str:
        """How many images, boxes and classes there are."""
        boxes, classes = sum(map(len, self.examples)), counted(len(self.classes), "class", "classes")
        return f"{counted(len(self), 'image')}, {counted(boxes, 'box', 'boxes')}, {classes}"

    def take(self, indices: Iterable[int]) -> Dataset:
        """The examples of these indices, in their order."""
        return replace(self, examples=tuple(self.examples[i] for i in indices))

    def sample(self, n: int, seed: int) -> Dataset:
        """`n` examples drawn without replacement, in their original order; DataError if there are fewer."""
        if not isinstance(n, int | np.integer) or not 0 <= n <= len(self):
            raise DataError("Can't draw that many examples.", where=self.name, got=n, expected=f"0..{len(self)}")
        return self.take(sorted(operations.generator(seed).permutation(len(self))[:n]))

    def split(
        self,
        *fractions: float,
        seed: int = 0,
        stratify: bool = True,
        twins: bool = True,
        show_progress: bool | None = None,
    ) -> tuple[Dataset, ...]:
        """Datasets that each have a fraction of the pictures and of the boxes of every class, as far as possible.

        Each picture is in one of them, in the order it had. Nearly equal pictures (`detkit.data.twins.find`) stay
        together, so that none is tested on what it was trained on; for this all pictures are opened. Each part gets
        a picture or more, so a small fraction may become a larger one.

        Args:
            fractions: above 0, adding up to 1; one fraction f stands for f and 1 - f.
            seed: what chance decides depends on it alone.
            stratify: by the boxes of each class (crowd regions and difficult objects don't count), the labels of
                pictures, and pictures with neither; class maps are not looked into. False goes by numbers of pictures.
            twins: False doesn't keep nearly equal pictures together, and opens none.
            show_progress: as in `detkit.progress.progress`.

        Raises:
            DataError: for other fractions, too few pictures, or with `twins`, pictures that can't be read.

        Example:
            >>> train, val, test = data.split(0.7, 0.2, 0.1)
        """
        return splitting.split(self, fractions, seed, stratify, twins, show_progress).parts

    def few_shot(self, k: int, seed: int) -> Dataset:
        """The pictures of a k-shot selection, drawn so that each class has k boxes that count.

        Pictures are drawn class by class, the rarest class first, at first those that bring no class beyond k. Where
        none is left, a picture brings boxes to spare: which of a class count is drawn, the others are kept as
        difficult, so that neither training nor evaluation counts them for or against. Boxes that are difficult or
        crowd regions to begin with stay so and are not counted.

        Raises:
            DataError: if a class has fewer than k boxes.

        Source: Kang et al., "Few-shot Object Detection via Feature Reweighting" (2019), and Wang et al.,
        "Frustratingly Simple Few-Shot Object Detection" (2020), which leave out the boxes to spare instead.
        """
        return splitting.few_shot(self, k, seed)

    def map(self, function: Callable[[Example], Example]) -> Dataset:
        """What a function makes of each example, with the same classes."""
        return replace(self, examples=tuple(function(example) for example in self))

    def filter(self, predicate: Callable[[Example], bool]) -> Dataset:
        """The examples for which a function is true."""
        return replace(self, examples=tuple(example for example in self if predicate(example)))

    def select_classes(self, names: Iterable[str], keep_empty: bool = True) -> Dataset:
        """Only the boxes, labels and class maps of some classes, in the order given; their label ids stay.

        Args:
            names: the classes; in class maps all others become background.
            keep_empty: whether to keep the pictures that have neither a box nor a label of these classes.

        Raises:
            DataError: for a class that the dataset doesn't have.
        """
        return operations.select_classes(self, names, keep_empty)

    def rename_classes(self, names: Mapping[str, str]) -> Dataset:
        """Classes with new names, {old: new}; those that come to have one name become one class, in its first place.

        All are renamed at once, so {"a": "b", "b": "a"} exchanges two names. Label ids stay, of the first of several.

        Raises:
            DataError: for a class that the dataset doesn't have.
        """
        return operations.rename_classes(self, names)

    def merge(self, *others: Dataset) -> Dataset:
        """The pictures of several datasets one after another; classes of one name are one class.

        A class has the label id of the first dataset with it; if another class has that id, the next one above all.

        Raises:
            DataError: if a picture is in two of them, or their keypoints are not the same.
        """
        return operations.merge(self, others)

    def without(self, other: Dataset) -> Dataset:
        """The examples whose picture is not in `other`."""
        seen = {operations.identity(example) for example in other}
        return self.filter(lambda example: operations.identity(example) not in seen)

    def with_classes(self, classes: Iterable[str]) -> Dataset:
        """The same examples with class ids for another list of classes, matched by name.

        A validation set read by itself may list its classes in another order, or lack one.

        Raises:
            DataError: if a class that has boxes, or labels of pictures, is not in the list.
        """
        return operations.with_classes(self, classes)
