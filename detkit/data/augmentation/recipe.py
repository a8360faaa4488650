"""The order of the steps from photos to an augmented view."""

from __future__ import annotations

from collections.abc import Callable

from detkit.data.augmentation.combine import copy_paste, mixup, mosaic
from detkit.data.augmentation.degrade import degrade
from detkit.data.augmentation.erase import cutout
from detkit.data.augmentation.moving import vary
from detkit.data.sample import View


def augmented(load: Callable, index: int, count: int, settings, size: tuple[int, int], rng, swaps=slice(None)) -> View:
    """A random view of a photo.

    Geometry and colour first, of each photo that the view shows; then several photos in one, holes, and what cameras
    and files do to all of it. What is off draws no random numbers.

    Args:
        load: index -> the `Sample` of a photo.
        index: the photo.
        count: how many photos there are, for those steps that need several.
        settings: a `detkit.pipeline.settings.Augment`.
        size: (height, width) of the view.
        rng: decides everything.
        swaps: which keypoint each one is called in a mirrored view.
    """

    def make(photo: int, size) -> View:
        return vary(load(photo), settings, size, rng, swaps)

    def another() -> View:
        return make((index + int(rng.integers(1, max(count, 2)))) % count, size)

    def happens(probability: float) -> bool:
        return probability > 0 and rng.random() < probability

    if rng.random() >= settings.mosaic:
        view = make(index, size)
    else:
        corner = tuple(int(n * rng.uniform(0.35, 0.65)) for n in size)
        photos = [index, *rng.integers(0, count, 3)]
        view = mosaic(make, photos, corner, size, rng.permutation(4))
    if happens(settings.mixup):
        view = mixup(view, another(), rng)
    if happens(settings.copy_paste):
        view = copy_paste(view, another(), rng)
    if happens(settings.cutout):
        view = cutout(view, rng)
    return view._replace(image=degrade(view.image, settings, rng))
