"""Datasets that need no files: digits on a canvas, shapes, toy boats. Each is a training and a test set."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path

from detkit.data.dataset import Dataset
from detkit.data.synthesis import boats as toy_boats
from detkit.data.synthesis import check_seed, grounds, synthesize, write_scenes
from detkit.data.synthesis.digits import Digits, digit_picture
from detkit.data.synthesis.scenes import Look
from detkit.data.synthesis.shapes import shapes_of
from detkit.data.synthesis.writing import write_set, write_sheet
from detkit.errors import ConfigError


def digits(
    output,
    count: int = 1000,
    test: int = 200,
    seed: int = 0,
    size: tuple[int, int] = (75, 75),
    box: str = "cell",
    originals=None,
    format: str = "coco",
    overwrite: bool = False,
    show_progress: bool | None = None,
) -> tuple[Dataset, ...]:
    """White 28 x 28 digits, each somewhere on a black canvas: the classic exercise in localisation.

    The digits are the handwritten ones that scikit-learn brings, enlarged from 8 x 8, or MNIST's where its file is
    given. The training and the test set in train/ and test/ are drawn from different originals.

    Args:
        output: the folder for the result.
        count, test: how many pictures to train on and to test with; 0 for no test set.
        seed: other pictures for another, 0 or more.
        size: (height, width) of the canvas.
        box: "cell", the 28 x 28 pixels, as in the exercise, or "tight", what is visible, then with its mask.
        originals: mnist.npz, with the arrays x_train, y_train, x_test and y_test.
        format: of the annotation, as of `detkit.data.write`.
        overwrite, show_progress: as of `synthesize`.

    Raises:
        ConfigError: if an argument is out of its range, or `output` can't be written or holds other files.
        DataError: if `originals` are not digits.
    """
    seed = check_seed(seed)
    if box not in ("cell", "tight"):
        raise ConfigError("There is no such box.", where="box", got=box, expected="cell or tight")
    size = Look(size=size).size
    if min(size) < 28:
        raise ConfigError("A digit does not fit.", where="size", got=size, expected="at least 28 x 28")
    parts = []
    for number, (name, images) in enumerate(_parts(count, test)):
        found = Digits.read(originals, name)
        settings = {"seed": [seed, number], "originals": found.fingerprint, "size": size, "box": box}

        def draw(index: int, found=found, number=number):
            return digit_picture(found, (seed, number), index, size, box == "tight")

        how = dict(format=format, encoding="png", overwrite=overwrite, show_progress=show_progress)
        classes = tuple(map(str, range(10)))
        parts.append(write_set(Path(output) / name, images, draw, classes, settings, **how))
    return tuple(parts)


def shapes(
    output,
    count: int = 200,
    test: int = 50,
    seed: int = 0,
    size: tuple[int, int] = (240, 320),
    objects: tuple[int, int] = (1, 6),
    scale: tuple[float, float] = (0.15, 0.45),
    angle: float = 180,
    occlusion: float = 0.4,
    light: float = 0.6,
    shadow: float = 0.6,
    format: str = "coco",
    encoding: str = "jpeg",
    overwrite: bool = False,
    show_progress: bool | None = None,
) -> tuple[Dataset, ...]:
    """Coloured squares, circles and triangles with exact boxes and masks, on procedural backgrounds.

    The training and the test set are in train/ and test/; their shapes differ in colour. The arguments are those of
    `digits` and of `scenes.Look`, and so are the errors.
    """
    seed = check_seed(seed)
    look = Look(size, objects, scale, angle, occlusion, light, shadow)
    ground = grounds.procedural(look.size, clutter=False)
    how = dict(format=format, encoding=encoding, overwrite=overwrite, show_progress=show_progress)
    return tuple(
        write_scenes(shapes_of(name), ground, look, Path(output) / name, images, (seed, number), **how)
        for number, (name, images) in enumerate(_parts(count, test))
    )


def boats(
    output, count: int = 5, test: int = 12, seed: int = 0, size: tuple[int, int] = toy_boats.SIZE
) -> tuple[Dataset, ...]:
    """The photos of a toy boat on which `detkit demo` trains: train.json and test.json, in COCO format.

    Args:
        output: the folder for the result; what is there is overwritten.
        count, test: how many pictures to train on and to test with.
        seed: other pictures for another, 0 or more.
        size: (height, width).

    Raises:
        ConfigError: if an argument is out of its range, or `output` can't be written.
    """
    seed = check_seed(seed)
    if min(count, test) < 1:
        raise ConfigError(
            "There are no pictures to make.", where="count, test", got=(count, test), expected="1 or more"
        )
    parts = toy_boats.few_shot_set(output, seed, count, test, Look(size=size).size)
    write_sheet(parts[0], Path(output) / "sheet.png")
    return parts


def _parts(count: int, test: int) -> Iterable[tuple[str, int]]:
    return [("train", count)] + [("test", test)] * (test != 0)


PRESETS = {"boats": boats, "digits": digits, "shapes": shapes}


def make(source, output, **options) -> tuple[Dataset, ...]:
    """The datasets of a preset of that name, or else of `synthesize` with the source as its cut-outs.

    Raises:
        ConfigError: for an option that it does not have; otherwise as those.
    """
    preset = PRESETS.get(str(source))
    known = {**inspect.signature(preset or synthesize).parameters, **({} if preset else _LOOK)}
    unknown = [name for name in options if name not in known]
    if unknown:
        what = f"{source if preset else 'A set of cut-outs'} has no such option."
        expected = ", ".join(name for name in known if name not in ("cutouts", "output", "look", "show_progress"))
        raise ConfigError(what, got=", ".join(unknown), expected=expected)
    return preset(output, **options) if preset else (synthesize(source, output, **options),)


_LOOK = inspect.signature(Look).parameters
