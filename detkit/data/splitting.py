"""Splitting datasets: stratified by class, nearly equal pictures kept together, and few-shot selections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from detkit.data import operations
from detkit.data import twins as twin_pictures
from detkit.errors import DataError
from detkit.text import some

if TYPE_CHECKING:
    from detkit.data.dataset import Dataset

_EXACT = 1e-6  # by which fractions may fail to add up to 1
_SIZE = 20  # how much the size of a part counts, compared with its share of a class


@dataclass(frozen=True)
class Split:
    """Parts of a dataset.

    Attributes:
        parts: the datasets, in the order of the fractions.
        together: how many groups of nearly equal pictures were kept together; 0 if they were not looked for.
        left_out: int [M], the indices of the examples that are in no part.
    """

    parts: tuple[Dataset, ...]
    together: int
    left_out: np.ndarray


def split(
    dataset: Dataset,
    fractions: Sequence[float],
    seed: int = 0,
    stratify: bool = True,
    twins: bool = True,
    show_progress: bool | None = None,
) -> Split:
    """`Dataset.split`, with what it found."""
    fractions = _checked_fractions(dataset, fractions)
    groups = _groups(dataset, twins, show_progress)
    if groups.max(initial=-1) + 1 < len(fractions):
        alike = f", in {groups.max() + 1} groups of nearly equal ones" if twins and len(dataset) else ""
        fix = "Add pictures, or ask for fewer parts" + ("; twins=False separates nearly equal ones." if alike else ".")
        raise DataError(
            "There are too few pictures for so many parts.",
            where=dataset.name,
            got=f"{len(dataset)} pictures{alike}",
            expected=f"{len(fractions)} or more that are unlike",
            fix=fix,
        )
    counts = strata(dataset) if stratify else np.zeros((len(dataset), 0), np.int64)
    part_of = assigned(counts, groups, fractions, seed)[groups]
    parts = tuple(dataset.take(np.flatnonzero(part_of == part)) for part in range(len(fractions)))
    return Split(parts, _together(groups), np.zeros(0, np.int64))


def few_shot_split(
    dataset: Dataset, k: int, seed: int = 0, twins: bool = True, show_progress: bool | None = None
) -> Split:
    """`Dataset.few_shot` and the rest; nearly equal ones of drawn pictures are in neither part."""
    drawn, selection = _drawn(dataset, k, seed)
    groups = _groups(dataset, twins, show_progress)
    left_out = np.setdiff1d(np.flatnonzero(np.isin(groups, groups[drawn])), drawn)
    rest = dataset.take(np.setdiff1d(np.arange(len(dataset)), np.union1d(drawn, left_out)))
    return Split((selection, rest), _together(groups), left_out)


def few_shot(dataset: Dataset, k: int, seed: int) -> Dataset:
    """The body of `Dataset.few_shot`."""
    return _drawn(dataset, k, seed)[1]


def strata(dataset: Dataset) -> np.ndarray:
    """int [N, 2 C + 1]: of each class the boxes that count, and the label of the picture; and whether there is neither.

    Columns that are zero throughout are left out.
    """
    n, classes = len(dataset), len(dataset.classes)
    boxes, labels = _box_counts(dataset), np.zeros((n, classes), np.int64)
    for i, example in enumerate(dataset):
        labels[i, example.image_labels] = 1
    empty = ~(boxes.any(1) | labels.any(1))
    counts = np.concatenate([boxes, labels, empty[:, None]], 1)
    return counts[:, counts.any(0)]


def assigned(counts: np.ndarray, groups: np.ndarray, fractions: np.ndarray, seed: int) -> np.ndarray:
    """The part that each group goes to, by iterative stratification.

    Again and again the rarest stratum of what is left is dealt out, group by group, the largest first. As proposed by
    Sechidis, Tsoumakas, Vlahavas, "On the Stratification of Multi-Label Data" (2011), but with boxes instead of labels,
    groups instead of pictures, and a part chosen for what it lacks of all that is in a group, not of the rarest alone:
    plentiful classes and the sizes of the parts come out better.

    Args:
        counts: int [N, K], how often each stratum is in a picture.
        groups: int [N], the group of each picture, 0..G-1.
        fractions: float64 [P], that add up to 1; no more than there are groups.
        seed: of the order.

    Returns:
        int [G], parts 0..P-1, each of which gets a group or more.
    """
    sums = np.zeros((groups.max() + 1, counts.shape[1] + 1))
    np.add.at(sums, groups, np.concatenate([counts, np.ones((len(counts), 1), np.int64)], 1))
    order = operations.generator(seed).permutation(len(sums))
    left = sums.sum(0)
    wanted = fractions[:, None] * left  # [P, K + 1]
    weights = 1 / np.maximum(left, 1) ** 2
    weights[-1] *= _SIZE
    part_of = np.full(len(sums), -1)
    while left[-1]:
        strata_left = np.where(left > 0, left, np.inf)[:-1]
        rarest = strata_left.argmin() if left[:-1].any() else -1
        own = order[(part_of[order] < 0) & (sums[order, rarest] > 0)]
        for group in own[np.argsort(-sums[own, rarest], kind="stable")]:
            # By how much each part comes nearer to what it wants, in squares of shares.
            gain = ((2 * wanted - sums[group]) * (weights * sums[group])).sum(1) / fractions
            part_of[group] = gain.round(12).argmax()
            wanted[part_of[group]] -= sums[group]
            left -= sums[group]
    return _filled(part_of, sums, wanted)


def _filled(part_of: np.ndarray, sums: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Parts without a group get one, of the part that has most pictures too many, the smallest of its groups."""
    for part in range(len(wanted)):
        while not (part_of == part).any():
            sizes = np.bincount(part_of, minlength=len(wanted))
            giving = np.argmin(np.where(sizes > 1, wanted[:, -1], np.inf))
            own = np.flatnonzero(part_of == giving)
            group = own[np.argmin(sums[own].sum(1))]
            part_of[group] = part
            wanted[giving] += sums[group]
            wanted[part] -= sums[group]
    return part_of


def _checked_fractions(dataset: Dataset, fractions: Sequence[float]) -> np.ndarray:
    if len(fractions) == 1:
        fractions = (fractions[0], 1 - fractions[0])
    values = np.array(fractions, np.float64)
    expected, fix = "numbers above 0 and below 1", "Write split(0.8), or split(0.7, 0.2, 0.1)."
    if not len(values) or not ((values > 0) & (values < 1)).all():  # NaN is neither
        got = ", ".join(map(str, fractions)) or "none"
        raise DataError("A split needs fractions.", where=dataset.name, got=got, expected=expected, fix=fix)
    if abs(values.sum() - 1) > _EXACT:
        got = f"{' + '.join(map(str, fractions))} = {values.sum():g}"
        raise DataError("The fractions of a split don't add up to 1.", where=dataset.name, got=got, expected=1, fix=fix)
    return values / values.sum()


def _groups(dataset: Dataset, twins: bool, show_progress: bool | None) -> np.ndarray:
    """int [N]: the number of the group of each picture; without `twins`, each picture is one."""
    if not twins:
        return np.arange(len(dataset))
    found = twin_pictures.find(dataset, show_progress=show_progress)
    if found.unreadable:
        raise DataError(
            f"{len(found.unreadable)} of {len(dataset)} pictures can't be read, so it can't be told which are nearly "
            "equal.",
            where=dataset.name,
            got=some([f"{error.what} {dataset[i].label}" for i, error in found.unreadable.items()], 1),
            expected="pictures that open",
            fix="Run `detkit data check` to list them; or split without looking at pictures: twins=False "
            "(--separate-twins on the command line).",
        )
    return found.groups


def _together(groups: np.ndarray) -> int:
    return int((np.bincount(groups) > 1).sum()) if len(groups) else 0


def _box_counts(dataset: Dataset) -> np.ndarray:
    """int [N, C]: the boxes of each class in each picture; crowd regions and difficult objects don't count."""
    classes = len(dataset.classes)
    counting = [each.class_ids[each.counts] for each in dataset]
    rows = np.repeat(np.arange(len(dataset)), [len(ids) for ids in counting])
    keys = rows * classes + np.concatenate([np.zeros(0, np.int64), *counting]).astype(np.int64)
    return np.bincount(keys, minlength=len(dataset) * classes).reshape(len(dataset), classes)


def _drawn(dataset: Dataset, k: int, seed: int) -> tuple[np.ndarray, Dataset]:
    """The rising indices of the pictures of a few-shot selection, and the selection."""
    counts = _box_counts(dataset)
    _check_shots(dataset, counts.sum(0), k)
    rng = operations.generator(seed)
    drawn = np.sort(_draw(counts, k, rng))
    spare = counts[drawn].sum(0) - k
    examples = [dataset[i] for i in drawn]
    for i in rng.permutation(len(examples)):
        example = examples[i]
        difficult = example.difficult.copy()
        for box in rng.permutation(np.flatnonzero(example.counts)):
            if spare[example.class_ids[box]] > 0:
                spare[example.class_ids[box]] -= 1
                difficult[box] = True
        examples[i] = replace(example, difficult=difficult)
    return drawn, replace(dataset, examples=tuple(examples))


def _draw(counts: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Pictures that together have k boxes or more of each class, by counts int [N, C], with few to spare."""
    have = np.zeros(counts.shape[1], np.int64)
    order = rng.permutation(len(counts))
    drawn: list[int] = []
    for c in np.argsort(counts.sum(0), kind="stable"):  # rare classes first: others come with them
        own = order[(counts[order, c] > 0) & ~np.isin(order, drawn)]
        while have[c] < k:
            spare = np.maximum(have + counts[own] - k, 0).sum(1) - np.maximum(have - k, 0).sum()
            place = np.argmin(spare)
            drawn.append(own[place])
            have += counts[own[place]]
            own = np.delete(own, place)
    return np.array(drawn, np.int64)


def _check_shots(dataset: Dataset, totals: np.ndarray, k: int) -> None:
    if not isinstance(k, (int, np.integer)) or k < 1:
        raise DataError("Few shots are a whole number of boxes.", where=dataset.name, got=k, expected="1 or more")
    lacking = np.flatnonzero(totals < k)
    if len(lacking) or not len(totals):
        told = [f"{dataset.classes[c]} {totals[c]}" for c in lacking]
        raise DataError(
            f"Some classes have fewer than {k} boxes.",
            where=dataset.name,
            got=some(told) or "no classes",
            expected=f"{k} or more of each class; crowd regions and difficult objects don't count",
            fix="Ask for fewer, or choose classes with select_classes.",
        )
