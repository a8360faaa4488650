"""Examples and classes chosen, renamed and merged: nothing is lost that was not to go, and ids follow their names."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from detkit.data import Dataset, Example
from detkit.data.class_map import ClassMap
from detkit.errors import DataError

CLASSES = ("duck", "boat", "frog")
SQUARE = [[[0, 0, 10, 0, 10, 10, 0, 10]]]


def box(n: int) -> list[float]:
    return [0.01 * n, 0.02, 0.5 + 0.01 * n, 0.6]


def example(name, class_ids, **parts) -> Example:
    return Example(f"{name}.jpg", [box(n) for n in range(len(class_ids))], class_ids, (60, 80), image_id=name, **parts)


def dataset(*rows, classes=CLASSES, **parts) -> Dataset:
    examples = (each if isinstance(each, Example) else example(n, each) for n, each in enumerate(rows))
    return Dataset(tuple(examples), classes, **parts)


def named(data: Dataset) -> dict:
    """{picture: [(class name, left edge of the box), ...]}"""
    rows = {each.image.stem: zip(each.class_ids, each.boxes, strict=True) for each in data}
    return {key: [(data.classes[c], round(float(box[0]), 3)) for c, box in row] for key, row in rows.items()}


def test_map_and_filter():
    data = dataset([0], [], [1, 2], name="photos", label_ids=(7, 3, 9))
    full = data.filter(len)
    assert [e.image_id for e in full] == [0, 2] and (full.name, full.label_ids) == ("photos", (7, 3, 9))
    moved = data.map(lambda e: Example(Path("new") / e.image.name, e.boxes, e.class_ids, e.size))
    assert [str(e.image) for e in moved] == ["new/0.jpg", "new/1.jpg", "new/2.jpg"]
    with pytest.raises(DataError, match="A class id has no name"):
        data.map(lambda e: example(0, [3]))


def test_select_classes_keeps_all_that_belongs_to_a_box():
    parts = dict(
        crowd=[True, False, False],
        difficult=[False, False, True],
        area=[1, 2, 3],
        segmentations=[None, SQUARE[0], None],
        keypoints=np.arange(6).reshape(3, 1, 2) / 10,
        keypoint_visibility=[[0], [1], [2]],
        image_labels=[0, 2],
    )
    data = dataset(example("a", [0, 1, 2], **parts), [1], label_ids=(7, 3, 9), keypoint_names=("eye",))
    chosen = data.select_classes(["frog", "duck"])
    assert (chosen.classes, chosen.label_ids) == (("frog", "duck"), (9, 7))
    assert named(chosen) == {"a": [("duck", 0.0), ("frog", 0.02)], "1": []}
    first = chosen[0]
    assert first.crowd.tolist() == [True, False] and first.difficult.tolist() == [False, True]
    assert first.area.tolist() == [1, 3] and first.segmentations == (None, None)
    assert first.keypoint_visibility.tolist() == [[0], [2]] and first.keypoints[1, 0, 0] == np.float32(0.4)
    assert first.image_labels.tolist() == [0, 1]
    assert len(data.select_classes(["frog", "duck"], keep_empty=False)) == 1
    assert len(data.select_classes(["boat"])[0].segmentations) == 1


def test_class_maps_follow(tmp_path):
    values = np.array([[0, 1], [2, 3]], np.uint8)
    Image.fromarray(values).save(tmp_path / "map.png")
    stored = ClassMap(tmp_path / "map.png", {0: 0, 1: 1, 2: 2, 3: 3, 9: 255})
    examples = [Example(f"{n}.jpg", [], [], (2, 2), class_map=each) for n, each in enumerate((stored, values))]
    data = Dataset(tuple(examples), CLASSES)
    for one in data.select_classes(["frog", "duck"]):
        assert one.semantic().tolist() == [[0, 2], [0, 1]]
    for one in data.rename_classes({"frog": "duck"}):
        assert one.semantic().tolist() == [[0, 1], [2, 1]]
    for one in data.with_classes(("boat", "frog", "duck")):
        assert one.semantic().tolist() == [[0, 3], [1, 2]]
    ignored = data.map(lambda e: Example(e.image, [], [], e.size, class_map=np.full((2, 2), 255, np.uint8)))
    assert (ignored.select_classes(["boat"])[0].semantic() == 255).all()


def test_labels_of_pictures_follow():
    data = dataset(example("a", [], image_labels=[0, 2]))
    assert data.with_classes(("frog", "duck"))[0].image_labels.tolist() == [0, 1]
    assert data.rename_classes({"frog": "duck"})[0].image_labels.tolist() == [0]
    with pytest.raises(DataError, match="unknown there.*\n.*\n  got: frog"):
        data.with_classes(("duck",))
    with pytest.raises(DataError, match=r"A class id has no name.*\n.*\n  got: ids 0..2"):
        Dataset(data.examples, ("duck", "boat"))


def test_rename_classes_merges_and_exchanges():
    data = dataset([0, 1, 2], label_ids=(7, 3, 9))
    merged = data.rename_classes({"boat": "thing", "duck": "thing"})
    assert (merged.classes, merged.label_ids) == (("thing", "frog"), (7, 9))
    assert named(merged)["0"] == [("thing", 0.0), ("thing", 0.01), ("frog", 0.02)]
    assert data.rename_classes({"boat": "duck"}).classes == ("duck", "frog")
    exchanged = data.rename_classes({"duck": "boat", "boat": "duck"})
    assert exchanged.classes == ("boat", "duck", "frog") and named(exchanged)["0"][0] == ("boat", 0.0)


@pytest.mark.parametrize(
    "act", [lambda data: data.select_classes(["boot"]), lambda data: data.rename_classes({"boot": "ship"})]
)
def test_unknown_classes_are_refused(act):
    with pytest.raises(DataError) as error:
        act(dataset([0], name="photos"))
    message = "There is no such class in this dataset.\n  where: photos\n  got: 'boot'\n  expected: duck, boat, frog"
    assert str(error.value) == f"{message}\n  fix: Did you mean boat?"


def test_select_classes_refuses_a_text_and_doubles():
    with pytest.raises(DataError, match=r"""no list.*\n.*\n  got: 'duck'\n.*\n  fix: Write \["duck"\]"""):
        dataset([0]).select_classes("duck")
    with pytest.raises(DataError, match="Two classes have the same name"):
        dataset([0]).select_classes(["duck", "duck"])


def test_merge_unites_classes_by_name():
    one = dataset([0, 1], classes=("duck", "boat"), label_ids=(1, 5), name="one")
    other = dataset(example("x", [0, 1, 2]), classes=("frog", "duck", "car"), label_ids=(1, 2, 8))
    both = one.merge(other)
    assert (both.name, both.classes, both.label_ids) == ("one", ("duck", "boat", "frog", "car"), (1, 5, 9, 8))
    assert named(both) == named(one) | named(other)
    assert named(one.merge()) == named(one)


def test_merge_refuses_the_same_picture_and_other_keypoints():
    one, two = dataset([0], [1], name="one"), dataset([1], name="two")
    with pytest.raises(DataError) as error:
        one.merge(two)
    assert str(error.value) == (
        "A picture is in two of these datasets.\n  where: 0.jpg\n  got: in one and in two\n"
        "  expected: datasets of different pictures\n  fix: Leave out those of one: a.merge(b.without(a))."
    )
    assert len(one.merge(two.without(one))) == 2
    eyes = dataset(example("e", [0], keypoints=[[[0.5, 0.5]]]), keypoint_names=("eye",), skeleton=[(0, 0)])
    assert one.merge(eyes).keypoint_names == ("eye",) and one.merge(eyes).skeleton == ((0, 0),)
    beaks = dataset(example("b", [0], keypoints=[[[0.5, 0.5]]]), keypoint_names=("beak",))
    with pytest.raises(DataError, match="not the same.*\n.*\n  got: beak\n  expected: eye"):
        eyes.merge(beaks)


rows = st.lists(st.lists(st.integers(0, 2), max_size=5), max_size=6)


@settings(max_examples=30, deadline=None)
@given(
    rows,
    st.lists(st.sampled_from(CLASSES), unique=True),
    st.dictionaries(st.sampled_from(CLASSES), st.sampled_from("ab")),
)
def test_names_stay_with_their_boxes(rows, chosen, names):
    data = dataset(*rows)
    selected = named(data.select_classes(chosen))
    assert selected == {key: [each for each in row if each[0] in chosen] for key, row in named(data).items()}
    renamed = named(data.rename_classes(names))
    assert renamed == {key: [(names.get(n, n), x) for n, x in row] for key, row in named(data).items()}
    parts = [
        data.select_classes([name]).map(lambda e, n=name: example(f"{n}{e.image_id}", e.class_ids)) for name in CLASSES
    ]
    united = parts[0].merge(*parts[1:])
    assert len(set(united.label_ids)) == 3 and set(united.classes) == set(CLASSES)
    count = lambda data: Counter(name for row in named(data).values() for name, _ in row)  # noqa: E731
    assert count(united) == count(data)


@pytest.mark.parametrize("seed", [-1, 0.5, None, "0", True])
def test_a_seed_is_a_whole_number(seed):
    data = dataset([0], [1])
    for draw in (lambda: data.sample(1, seed), lambda: data.split(0.5, seed=seed, twins=False)):
        with pytest.raises(DataError, match="A seed is a whole number from 0"):
            draw()


def test_a_dataset_does_not_merge_with_itself():
    data = dataset([0], [1])
    with pytest.raises(DataError, match="A picture is in two of these datasets"):
        data.merge(data)


def test_classes_are_a_list():
    with pytest.raises(DataError, match="The classes are one text"):
        dataset().with_classes("cat")
