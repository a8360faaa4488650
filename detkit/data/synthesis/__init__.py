"""Synthetic pictures with exact boxes and masks: cut-outs on backgrounds, and presets that need no files."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from detkit.data.dataset import Dataset
from detkit.data.synthesis import cutouts as cutting
from detkit.data.synthesis import grounds
from detkit.data.synthesis.scenes import Look, compose
from detkit.data.synthesis.writing import write_set
from detkit.errors import ConfigError


def synthesize(
    cutouts,
    output,
    count: int = 100,
    backgrounds=None,
    seed: int = 0,
    format: str = "coco",
    encoding: str = "jpeg",
    overwrite: bool = False,
    show_progress: bool | None = None,
    **look,
) -> Dataset:
    """Paste cut-outs on backgrounds, with shadows and in random light, and annotate what is visible of each exactly.

    A picture depends on the seed and its number alone: the same arguments give the same bytes, also where an earlier
    call was interrupted, and a greater count adds pictures. `output` gets images/, annotations.json (or what the
    format has instead) and sheet.png. Procedural backgrounds are made up; in photos there must be no objects of the
    classes, since they would not be annotated.

    Source: D. Dwibedi, I. Misra, M. Hebert: "Cut, Paste and Learn", ICCV 2017.

    Args:
        cutouts: a folder of PNG or WebP files with transparency, one object each, by class in folders or named as
            duck_01.png; or an annotation file, or a Dataset, whose objects are cut out by their masks, those without
            by GrabCut in their box, and where that fails by the box with soft edges.
        output: the folder for the result.
        count: how many pictures.
        backgrounds: a folder of photos, or None for procedural backgrounds.
        seed: other pictures for another, 0 or more.
        format: of the annotation, as of `detkit.data.write`.
        encoding: of the pictures, "jpeg" or "png".
        overwrite: whether there may be other files in `output`; pictures that were made otherwise are deleted.
        show_progress: None shows a bar on terminals only.
        **look: the fields of `scenes.Look`: size, objects, scale, angle, occlusion, light, shadow, mirror.

    Raises:
        DataError, MediaError: if there is nothing to cut out, or a file can't be used.
        ConfigError: if an argument is out of its range, or `output` can't be written or holds other pictures.

    Example:
        >>> data = detkit.data.synthesize("cutouts/", "synthetic", 200, backgrounds="photos/", scale=(0.1, 0.4))
    """
    look = Look(**look)
    seed = check_seed(seed)
    cutouts = cutting.opened(cutouts)
    ground = grounds.opened(backgrounds, look.size)
    how = dict(format=format, encoding=encoding, overwrite=overwrite, show_progress=show_progress)
    return write_scenes(cutouts, ground, look, output, count, (seed,), **how)


def write_scenes(cutouts, ground, look: Look, output, count: int, seeds: tuple[int, ...], **how) -> Dataset:
    """Write scenes of opened cut-outs on opened grounds; `how` is for `write_set`."""
    settings = {"seed": seeds, "cut-outs": cutouts.fingerprint, "backgrounds": ground.fingerprint, **asdict(look)}

    def draw(number: int):
        return compose(np.random.default_rng([*seeds, number]), cutouts, ground.draw, look)

    return write_set(output, count, draw, cutouts.classes, settings, problems=cutouts.problems, **how)


def check_seed(seed) -> int:
    """A seed as Python's own number; ConfigError unless it is a whole number from 0."""
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ConfigError("A seed is a whole number.", where="seed", got=repr(seed), expected="0 or more")
    return int(seed)
