"""Draws docs/augmentation.png, the contact sheet of docs/augmentation.md: run `python docs/augmentation.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from detkit.data.batches import Views
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.data.sample import View
from detkit.data.synthesis.cutouts import Cutouts
from detkit.data.synthesis.grounds import procedural
from detkit.data.synthesis.scenes import Look, compose
from detkit.data.synthesis.toy_boat import toy_boat
from detkit.detections import Detections
from detkit.pipeline.settings import USUAL_AUGMENTATION, Augment
from detkit.visualize.draw import draw
from detkit.visualize.sheet import contact_sheet

SHEET = Path(__file__).with_suffix(".png")
SIZE = (240, 320)
COUNTS, IGNORED, CLASSES = 1, 5, ("",) * 6  # of the palette
# The options of each cell, and the number of the view, chosen to show what the option does.
CELLS = (
    ("the photo", {}, 0),
    ("flip", {"flip": 1}, 0),
    ("vertical_flip", {"vertical_flip": 1}, 0),
    ("rotate90", {"rotate90": 1}, 0),
    ("rotate: 40", {"rotate": 40}, 5),
    ("zoom_out: 2", {"zoom_out": 2}, 0),
    ("zoom_in: 2", {"zoom_in": 2}, 6),
    ("stretch: 2", {"stretch": 2}, 6),
    ("colour: 1", {"colour": 1}, 0),
    ("blur: 4", {"blur": 4}, 0),
    ("noise: 60", {"noise": 60}, 0),
    ("jpeg: 98", {"jpeg": 98}, 4),
    ("cutout", {"cutout": 1}, 3),
    ("mosaic", {"mosaic": 1}, 4),
    ("mixup", {"mixup": 1}, 3),
    ("copy_paste", {"copy_paste": 1}, 4),
    ("od_api: random_crop_image", {"od_api": ["random_crop_image { max_area: 0.6 }"]}, 3),
    ("true: the usual", USUAL_AUGMENTATION, 2),
    ("true: the usual", USUAL_AUGMENTATION, 7),
    ("true: the usual", USUAL_AUGMENTATION, 8),
)


def photos() -> Dataset:
    """Synthetic photos of toy boats with masks."""
    boat = Cutouts(("toy_boat",), np.zeros(1, int), lambda n: np.asarray(toy_boat()), "toy boat")
    look = Look(SIZE, objects=(3, 4), scale=(0.25, 0.5), occlusion=0.2, light=0.2)
    examples = []
    for seed in range(4):
        picture = compose(np.random.default_rng(seed), boat, procedural(SIZE).draw, look)
        boxes = np.array(picture.boxes) / np.tile(SIZE, 2)
        examples.append(Example(picture.pixels, boxes, picture.class_ids, SIZE, segmentations=picture.segmentations))
    return Dataset(tuple(examples), ("toy_boat",))


def drawn(view: View) -> np.ndarray:
    """A view with its masks and boxes, in another colour those that count neither for nor against."""
    kinds = np.where(view.weights == 1, COUNTS, IGNORED)
    scores, masks = np.ones(len(view.boxes)), view.masks / np.float32(255)
    found = Detections(view.boxes, scores, kinds, CLASSES, view.size, masks=masks)
    return draw(view.image, found, labels=False, scores=False)


def sheet() -> np.ndarray:
    """All cells with their captions, uint8 [H, W, 3]."""
    data, pictures = photos(), []
    for _, options, number in CELLS:
        views = Views(data, lambda _: SIZE, Augment(**options), wants=("masks",))
        pictures.append(drawn(views.view(0, number)))
    return contact_sheet(pictures, columns=5, captions=[caption for caption, *_ in CELLS], width=1400)


if __name__ == "__main__":
    from PIL import Image

    Image.fromarray(sheet()).quantize(256, dither=Image.Dither.NONE).save(SHEET, optimize=True)
