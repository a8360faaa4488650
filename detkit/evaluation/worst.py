"""The images on which a detector does worst, with what is right, wrong and missed drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detkit.errors import DetkitError
from detkit.evaluation.coco import evaluation_order
from detkit.evaluation.errors import CAUSES
from detkit.evaluation.summary import Summary
from detkit.visualize.draw import draw_marks

if TYPE_CHECKING:
    from detkit.data import Dataset

RIGHT, WRONG, MISSED = (40, 160, 70), (215, 40, 40), (245, 190, 20)
_TEXTS = 6  # of the surest wrong detections, and of missed objects; more would cover each other
_LONGEST, _GROWTH = 640, 3  # pixels of a drawn image; how much a small one is enlarged at most, to have room for texts


@dataclass(frozen=True, eq=False)
class WorstImage:
    """An image with many errors.

    Attributes:
        name: what the image is called.
        picture: uint8 [H, W, 3]: right detections green, wrong ones red with their cause, missed objects dashed; None
            if it can't be read.
        wrong, missed: how many there are.
    """

    name: str
    picture: np.ndarray | None
    wrong: int
    missed: int


def worst_images(summary: Summary, dataset: Dataset, most: int = 12) -> list[WorstImage]:
    """The worst images, the worst first; those with no error are left out.

    An image is the worse, the more objects are missed and the surer its wrong detections are. Detections below the best
    score of all classes are left out.

    Args:
        summary: of the evaluation.
        dataset: what was evaluated; its pictures are decoded.
        most: how many images.
    """
    matches, best = summary.metrics.matches, summary.points[""]
    shown = matches.score >= (best.score if best else 0)
    wrong = matches.wrong[0] & shown
    found = np.zeros(len(matches.truth_class), bool)
    found[matches.truth[0][matches.correct[0] & shown]] = True
    missed = matches.truth_counts & ~found
    images = len(matches.objects)
    badness = np.bincount(matches.image[wrong], matches.score[wrong], images)
    badness += np.bincount(matches.truth_image[missed], minlength=images)
    chosen = [n for n in np.argsort(-badness, kind="stable")[:most] if badness[n] > 0]
    order = evaluation_order(dataset)
    return [_worst(summary, dataset, n, order[n], matches.correct[0] & shown, wrong, missed) for n in chosen]


def _worst(summary: Summary, dataset: Dataset, image: int, index: int, right, wrong, missed) -> WorstImage:
    matches, example = summary.metrics.matches, dataset[index]
    rows = [np.flatnonzero(these & (matches.image == image)) for these in (right, wrong)]
    objects = np.flatnonzero(missed & (matches.truth_image == image))
    try:
        picture = _drawn(summary, sized(example.pixels()), example.size, *rows, objects)
    except DetkitError:
        picture = None
    name = getattr(example.image, "name", example.label)
    return WorstImage(str(name), picture, len(rows[1]), len(objects))


def _drawn(summary: Summary, picture: np.ndarray, size, right, wrong, missed) -> np.ndarray:
    """The picture of an image of this size, with detections that are right and wrong, and missed objects, drawn."""
    matches, classes = summary.metrics.matches, list(summary.metrics.per_class)
    wrong = wrong[np.argsort(matches.score[wrong], kind="stable")]  # the surest on top
    texts = [""] * len(right) + [f"missed {classes[k]}" for k in matches.truth_class[missed[:_TEXTS]]]
    texts += [""] * (len(missed) - _TEXTS)
    texts += [""] * (len(wrong) - _TEXTS) + [_text(summary, n, classes) for n in wrong[-_TEXTS:]]
    counts = [len(right), len(missed), len(wrong)]
    tints = [tint for tint, count in zip((RIGHT, MISSED, WRONG), counts, strict=True) for _ in range(count)]
    pixels = np.concatenate([matches.boxes[right], matches.truth_boxes[missed], matches.boxes[wrong]])
    corners = np.concatenate([pixels[:, [1, 0]], pixels[:, [1, 0]] + pixels[:, [3, 2]]], axis=1)
    return draw_marks(picture, corners / np.tile(size, 2), texts, tints, dashed=np.repeat([False, True, False], counts))


def _text(summary: Summary, n: int, classes) -> str:
    matches = summary.metrics.matches
    return f"{CAUSES[summary.errors.cause[n]]}: {classes[matches.class_id[n]]} {matches.score[n]:.2f}"


def sized(pixels: np.ndarray) -> np.ndarray:
    """A picture at a size at which what is drawn on it can be read."""
    from PIL import Image

    scale = min(_LONGEST / max(pixels.shape[:2]), _GROWTH)
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    sampling = Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(pixels).resize(size, sampling))
