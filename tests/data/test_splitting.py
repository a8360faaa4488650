"""Splits: each picture in one part, alike ones together, classes in their shares; and few-shot selections."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from data_files import picture
from hypothesis import given, settings
from hypothesis import strategies as st

from detkit.data import Dataset, Example, splitting, twins
from detkit.errors import DataError

NAN = float("nan")


def dataset(rows, classes=3, **parts) -> Dataset:
    """A dataset of pictures that are not there, by the class ids of their boxes."""
    box = [0.1, 0.1, 0.5, 0.5]
    examples = (Example(f"{n}.jpg", [box] * len(row), row, (60, 80), image_id=n) for n, row in enumerate(rows))
    return Dataset(tuple(examples), tuple("abcdefghij"[:classes]), **parts)


def ids(data) -> list:
    return [each.image_id for each in data]


def boxes(data) -> np.ndarray:
    """How many boxes of each class count."""
    counting = [each.class_ids[~each.difficult & ~each.crowd] for each in data]
    return np.bincount(np.concatenate([[], *counting]).astype(int), minlength=len(data.classes))


def by_chance(n: int, classes: int, seed: int = 0) -> list:
    """Class ids of pictures, of classes from plentiful to rare."""
    rng = np.random.default_rng(seed)
    expected = rng.gamma(0.5, 2, (n, classes)) / np.arange(1, classes + 1)
    return [np.repeat(np.arange(classes), counts) for counts in rng.poisson(expected)]


rows = st.lists(st.lists(st.integers(0, 2), max_size=6), min_size=4, max_size=30)
fractions = st.lists(st.integers(1, 9), min_size=2, max_size=4).map(lambda parts: [each / sum(parts) for each in parts])


@settings(max_examples=50, deadline=None)
@given(rows, fractions, st.integers(0, 5), st.booleans())
def test_a_split_is_a_partition_that_the_seed_decides(rows, fractions, seed, stratify):
    data = dataset(rows)
    parts = data.split(*fractions, seed=seed, stratify=stratify, twins=False)
    assert len(parts) == len(fractions) and all(map(len, parts))
    assert sorted(sum(map(ids, parts), [])) == ids(data)
    assert all(ids(part) == sorted(ids(part)) and part.classes == data.classes for part in parts)
    again = data.split(*fractions, seed=seed, stratify=stratify, twins=False)
    assert [*map(ids, parts)] == [*map(ids, again)]


@settings(max_examples=50, deadline=None)
@given(rows, fractions, st.data())
def test_groups_stay_together(rows, fractions, drawn):
    count = drawn.draw(st.integers(len(fractions), max(len(rows), len(fractions))))
    groups = np.array([drawn.draw(st.integers(0, count - 1)) for _ in rows] + [*range(count)])
    counts = splitting.strata(dataset([*rows, *([0] for _ in range(count))]))
    part_of = splitting.assigned(counts, groups, np.array(fractions), seed=0)
    assert part_of.shape == (count,) and set(part_of) == set(range(len(fractions)))


@pytest.mark.parametrize("seed", range(3))
def test_each_class_gets_its_share(seed):
    data = dataset(by_chance(300, 8, seed), classes=8)
    shares = np.array([0.7, 0.2, 0.1])
    error = {}
    for stratify in (True, False):
        parts = data.split(*shares, seed=seed, stratify=stratify, twins=False)
        assert [len(part) for part in parts] == [210, 60, 30]
        wanted = shares[:, None] * boxes(data)
        error[stratify] = np.abs(np.stack([*map(boxes, parts)]) - wanted)
    assert error[True].max() <= 5 and (error[True] / boxes(data)).mean() < 0.02
    assert error[True].sum() < error[False].sum() / 3


def test_labels_of_pictures_and_empty_pictures_are_strata_too():
    labelled = [Example(f"{n}.jpg", [], [], (60, 80), image_labels=[n % 2] if n < 60 else []) for n in range(100)]
    for seed in range(3):
        train, val = Dataset(tuple(labelled), ("a", "b")).split(0.8, seed=seed, twins=False)
        counts = [sum(each.image_labels.tolist() == label for each in val) for label in ([0], [1], [])]
        assert counts == [6, 6, 8] and len(train) == 80


def test_a_class_with_one_box_is_trained_on():
    for seed in range(5):
        train, val = dataset([[0], [0], [0], [1], []]).split(0.8, seed=seed, twins=False)
        assert boxes(train)[1] == 1 and len(val) == 1


def test_the_seed_matters_and_one_fraction_stands_for_two():
    data = dataset([[0]] * 20)
    assert len({tuple(ids(data.split(0.5, seed=seed, twins=False)[0])) for seed in range(5)}) == 5
    assert [len(part) for part in data.split(0.8, twins=False)] == [16, 4]
    assert [len(part) for part in dataset([[0]] * 3).split(0.98, 0.01, 0.01, twins=False)] == [1, 1, 1]


@pytest.mark.parametrize(
    "given", [(0,), (1,), (-0.5,), (1.5, -0.5), (NAN,), (0.5, NAN, 0.5), (5,), (), (float("inf"),)]
)
def test_what_is_no_fraction_is_refused(given):
    with pytest.raises(
        DataError, match="needs fractions.*\n  where: dataset\n.*\n  expected: numbers above 0 and below 1"
    ):
        dataset([[0]] * 9).split(*given, twins=False)


def test_fractions_have_to_add_up():
    with pytest.raises(DataError) as error:
        dataset([[0]] * 9, name="photos").split(0.7, 0.2, twins=False)
    assert str(error.value) == (
        "The fractions of a split don't add up to 1.\n  where: photos\n  got: 0.7 + 0.2 = 0.9\n  expected: 1\n"
        "  fix: Write split(0.8), or split(0.7, 0.2, 0.1)."
    )


@pytest.mark.parametrize("twins", [True, False])
def test_an_empty_dataset_can_not_be_split(twins):
    with pytest.raises(DataError, match="too few pictures.*\n.*\n  got: 0 pictures\n  expected: 2 or more"):
        dataset([]).split(0.8, twins=twins)


def test_missing_pictures_are_told(tmp_path):
    with pytest.raises(
        DataError, match="10 of 10 pictures can't be read.*\n.*\n.*0.jpg and 9 more\n(.*\n)*.*twins=False"
    ):
        dataset([[0]] * 10).split(0.8)


def shots(tmp_path, copies: int) -> Dataset:
    """Six photos of noise, and copies of the first one."""
    examples = []
    for n in range(6 + copies):
        path = picture(tmp_path / f"{n}.png", seed=n if n < 6 else 0)
        examples.append(Example(path, [[0, 0, 1, 1]], [0], (60, 80), image_id=n))
    return Dataset(tuple(examples), ("a",))


def test_alike_pictures_stay_together(tmp_path):
    data = shots(tmp_path, copies=4)
    for seed in range(6):
        found = splitting.split(data, (0.5, 0.5), seed=seed)
        parts = [set(ids(part)) for part in found.parts]
        assert found.together == 1 and any({0, 6, 7, 8, 9} <= part for part in parts)
        assert [len(part) for part in parts] == [5, 5]
    alike = data.filter(lambda each: each.image_id in (0, 6, 7))
    with pytest.raises(
        DataError, match="got: 3 pictures, in 1 groups of nearly equal ones(.*\n)*.*twins=False separates"
    ):
        alike.split(0.5)


@settings(max_examples=40, deadline=None)
@given(rows, st.integers(1, 4), st.integers(0, 5))
def test_few_shots_are_k_of_each_class(rows, k, seed):
    data = dataset(rows)
    if boxes(data).min() < k:
        with pytest.raises(DataError, match=f"Some classes have fewer than {k} boxes"):
            data.few_shot(k, seed)
        return
    drawn = data.few_shot(k, seed)
    assert boxes(drawn).tolist() == [k] * 3
    assert ids(drawn) == sorted(ids(drawn)) == ids(data.few_shot(k, seed))
    originals = {each.image_id: each for each in data}
    assert all(np.array_equal(each.boxes, originals[each.image_id].boxes) for each in drawn)


def test_few_shots_bring_no_box_to_spare_where_that_can_be():
    data = dataset([[0, 0, 0, 0], [0], [0], [0], [1, 1, 0], [1], [1]], classes=2)
    for seed in range(5):
        drawn = data.few_shot(2, seed)
        assert not any(each.difficult.any() for each in drawn) and len(drawn) in (2, 3, 4)


def test_boxes_that_do_not_count_are_no_shots():
    data = dataset([[0, 0], [0]], classes=1)
    data = data.map(lambda each: replace(each, crowd=[True] + [False] * (len(each) - 1)))
    assert ids(data.few_shot(1, 0)) == [0]
    with pytest.raises(DataError, match="got: a 1\n  expected: 2 or more of each class"):
        data.few_shot(2, 0)
    for k in (0, -1, 1.5, NAN):
        with pytest.raises(DataError, match="Few shots are a whole number"):
            data.few_shot(k, 0)


def test_the_rest_of_few_shots_has_nothing_like_them(tmp_path):
    data = shots(tmp_path, copies=4)
    for seed in range(6):
        found = splitting.few_shot_split(data, 1, seed)
        train, rest = map(ids, found.parts)
        assert sorted([*train, *rest, *found.left_out]) == ids(data)
        groups = twins.find(data).groups
        assert not set(groups[train]) & set(groups[rest])
        assert len(found.left_out) == (4 if groups[train[0]] == 0 else 0)
