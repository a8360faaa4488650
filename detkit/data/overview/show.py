"""Contact sheets of annotated pictures, and of what augmentation makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from detkit.data.batches import Views
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.data.operations import check_known
from detkit.data.overview.stats import Stats, stats
from detkit.data.sample import View
from detkit.detections import Detections
from detkit.errors import DataError
from detkit.progress import progress
from detkit.visualize.draw import draw, draw_truth
from detkit.visualize.figure import draw_class_map
from detkit.visualize.sheet import contact_sheet, fitted, layout, shortened

PICKS = ("random", "first", "smallest", "largest", "most", "unmatched")
WIDTH = 1600  # pixels of a sheet
_VIEW = 640  # pixels of the longer side of a view, where no model says
_NAMED = 12  # objects in a picture up to which their names are written beside them
_LISTED = 4  # classes in a caption
_LETTERS = 24  # of a file's name in it


def choose(
    dataset: Dataset,
    count: int = 16,
    pick: str = "random",
    seed: int = 0,
    classes: Sequence[str] = (),
    measured: Stats | None = None,
) -> dict[int, str]:
    """Chooses pictures to look at.

    Args:
        dataset: the annotated pictures.
        count: the most pictures to choose.
        pick: which: "random" or the "first" ones; those with the "smallest" or "largest" objects, with the "most"
            objects, or with the objects farthest from any anchor ("unmatched").
        seed: of "random".
        classes: choose only pictures with one of these classes, and by objects of these.
        measured: the `detkit.data.stats` of the dataset; "unmatched" needs it, with anchors.

    Returns:
        {number of a picture: why it was chosen, in words, or ""}; those chosen by objects in their order.

    Raises:
        DataError: if there is no such picture or class.
    """
    if pick not in PICKS:
        raise DataError("There is no such way to pick pictures.", got=repr(pick), expected=", ".join(PICKS))
    wanted = _class_ids(dataset, classes)
    if pick in ("random", "first"):
        having = [n for n, example in enumerate(dataset) if not classes or _has_any(example, wanted)]
        order = np.random.default_rng(seed).permutation(len(having)) if pick == "random" else np.arange(len(having))
        chosen = {having[n]: "" for n in np.sort(order[:count])}
    else:
        chosen = _by_objects(measured or stats(dataset), pick, wanted, count)
    if not chosen:
        what = "There is no picture to show."
        got = f"{len(dataset)} images, " + (f"none with {', '.join(classes)}" if classes else "no object")
        raise DataError(what, where=dataset.name, got=got, fix="Show other classes, or pick in another way.")
    return chosen


def show(
    dataset: Dataset, chosen: Mapping[int, str], columns: int | None = None, show_progress: bool | None = None
) -> np.ndarray:
    """A contact sheet of pictures with their boxes, masks, keypoints and class maps; labels are in the captions.

    Args:
        dataset: the annotated pictures.
        chosen: {number of a picture: a remark for its caption, or ""}, one at least, as of `choose`.
        columns: of the sheet; by default it is about as wide as high.
        show_progress: as for `detkit.progress.progress`.

    Returns:
        uint8 [H, 1600, 3] RGB.

    Raises:
        DataError: if a picture is not of its annotated size, or there are too many columns.
        MediaError: if a picture can't be decoded.

    Example:
        >>> dataset = detkit.data.read("ducky/train.json")
        >>> sheet = show(dataset, choose(dataset, pick="smallest"))
    """
    columns, cell = layout([dataset[index].size for index in chosen], columns, WIDTH)
    indices = progress(list(chosen), description="draw", show=show_progress)
    drawn = [_drawn(dataset, dataset[index], cell) for index in indices]
    captions = [_caption(dataset, dataset[index], remark) for index, remark in chosen.items()]
    return contact_sheet(drawn, columns, captions, WIDTH)


def views_of(dataset: Dataset, size_of: Callable | None, augmentation, seed: int = 0) -> Views:
    """Views of a dataset with all that can be drawn of it.

    Args:
        dataset: the annotated pictures.
        size_of: (height, width) of a photo -> that of the view; by default its own, but 640 pixels at most.
        augmentation: a `detkit.pipeline.settings.Augment`, or None.
        seed: decides the views.

    Raises:
        DataError: if there is nothing to learn from.
    """
    having = [example for example in dataset if len(example)]
    has = {
        "masks": having and all(None not in (example.segmentations or [None]) for example in having),
        "keypoints": dataset.has_keypoints,
        "semantic": len(dataset) and all(example.class_map is not None for example in dataset),
        "labels": not having and any(len(example.image_labels) for example in dataset),
    }
    wants = tuple(name for name, there in has.items() if there)
    return Views(dataset, size_of or _limited, augmentation, seed, wants)


def _limited(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, _VIEW / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def show_views(
    views: Views, chosen: Sequence[int], count: int = 16, columns: int | None = None, show_progress: bool | None = None
) -> np.ndarray:
    """A contact sheet of pictures as training gets them.

    Args:
        views: of the pictures.
        chosen: the numbers of the pictures to show, one at least; they come again, in other views, up to the count.
        count: the number of views.
        columns, show_progress: as for `show`.

    Returns:
        uint8 [H, 1600, 3] RGB.
    """
    numbers = [(chosen[n % len(chosen)], n // len(chosen)) for n in range(count)]
    steps = progress(numbers, description="draw", show=show_progress)
    seen = [views.view(int(index), number) for index, number in steps]
    columns, cell = layout([view.image.shape[:2] for view in seen], columns, WIDTH)
    names = [_name(views.dataset[index]) for index, _ in numbers]
    captions = [f"{name}, view {number}" for name, (_, number) in zip(names, numbers, strict=True)]
    return contact_sheet([_drawn_view(views.dataset, view, cell) for view in seen], columns, captions, WIDTH)


def _class_ids(dataset: Dataset, names: Sequence[str]) -> list[int]:
    check_known(dataset, names)
    return [n for n, name in enumerate(dataset.classes) if name in names] if names else [*range(len(dataset.classes))]


def _has_any(example: Example, class_ids: list[int]) -> bool:
    return bool(np.isin([*example.class_ids, *example.image_labels], class_ids).any())


def _by_objects(measured: Stats, pick: str, class_ids: list[int], count: int) -> dict[int, str]:
    """Pictures in the order of their first objects, by size, number or overlap with an anchor."""
    if pick == "unmatched" and measured.overlaps is None:
        what, fix = "It is not known which objects anchors match.", "Give a model that has anchors."
        raise DataError(what, where=measured.name, fix=fix)
    rows = np.flatnonzero(np.isin(measured.class_ids, class_ids))
    pictures, sides = measured.pictures[rows], measured.mean_sides[rows]
    numbers = np.bincount(pictures, minlength=measured.images)[pictures]
    overlaps = sides if measured.overlaps is None else measured.overlaps[rows]
    keys = {"smallest": sides, "largest": -sides, "most": -numbers, "unmatched": overlaps}
    first: dict[int, str] = {}
    for row in np.argsort(keys[pick], kind="stable"):
        if len(first) == count:
            break
        words = {"most": "", "unmatched": f"best IoU {overlaps[row]:.2f}"}.get(pick, f"{pick} {sides[row]:.3g} px")
        first.setdefault(int(pictures[row]), words)
    return first


def _caption(dataset: Dataset, example: Example, remark: str) -> str:
    """The file's name, what is in it and why it was picked."""
    counts = np.bincount(example.class_ids, minlength=len(dataset.classes))
    most = [n for n in np.argsort(-counts, kind="stable") if counts[n]]
    objects = [f"{counts[n]} {dataset.classes[n]}" for n in most[:_LISTED]] + ["..."] * (len(most) > _LISTED)
    labels = [dataset.classes[n] for n in example.image_labels]
    parts = [_name(example), remark, ", ".join(objects), f"labels: {', '.join(labels)}" if labels else ""]
    return " | ".join(part for part in parts if part)


def _name(example: Example) -> str:
    return shortened(Path(example.label).name, _LETTERS)


def _drawn(dataset: Dataset, example: Example, cell: tuple[int, int]) -> np.ndarray:
    image = fitted(example.pixels(), cell)
    if example.class_map is not None:
        image = draw_class_map(image, example.semantic())
    skeleton, labels = dataset.skeleton or None, len(example) <= _NAMED
    return draw_truth(image, example, dataset.classes, skeleton, labels=labels)


def _drawn_view(dataset: Dataset, view: View, cell: tuple[int, int]) -> np.ndarray:
    """A view with its objects; those that count neither for nor against are called "ignored"."""
    image, ignored = fitted(view.image, cell), len(dataset.classes)
    image = image if view.semantic is None else draw_class_map(image, view.semantic)
    objects = Detections(
        view.boxes,
        np.ones(len(view.boxes)),
        np.where(view.weights > 0, view.class_ids, ignored),
        (*dataset.classes, "ignored"),
        image.shape[:2],
        masks=None if view.masks is None else view.masks / np.float32(255),
        keypoints=view.keypoints,
        keypoint_scores=view.keypoint_weights,
    )
    return draw(image, objects, scores=False, labels=len(objects) <= _NAMED, skeleton=dataset.skeleton or None)
