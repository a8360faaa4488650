"""The options of `detkit explain`: the one source of the command line's flags and the API's arguments."""

from __future__ import annotations

from dataclasses import dataclass

from detkit.errors import ConfigError
from detkit.pipeline.fields import choice, option
from detkit.pipeline.options import Options

INSIDE = ("grad-cam", "grad-cam++", "cam", "saliency", "smoothgrad", "integrated-gradients")  # these need gradients
OUTSIDE = ("occlusion", "rise", "d-rise")  # these need answers only
METHODS = INSIDE + OUTSIDE


def _method(value, path: str) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else tuple(value)
    wrong = next((name for name in names if name not in METHODS), None)
    if wrong is None:
        return tuple(dict.fromkeys(names))
    raise ConfigError("There is no such method.", where=path, got=repr(wrong), expected=", ".join(METHODS))


@dataclass(frozen=True)
class What(Options):
    """What is explained."""

    class_name: str | None = option(
        None, flags=("--class", "-c"), metavar="NAME", help="Explain this class; the best one by default."
    )
    detection: int | None = option(
        None, at_least=0, metavar="N", help="Explain this detection: 0 is the best, or the best of the class."
    )
    threshold: float = option(0.3, at_least=0, at_most=1, help="The lowest score of a detection that counts.")


@dataclass(frozen=True)
class How(Options):
    """How it is explained."""

    method: tuple[str, ...] = option(
        (), choices=METHODS, convert=_method, metavar="METHOD",
        help=f"One of {', '.join(METHODS)}; repeatable. By default grad-cam, and d-rise for detectors, else rise.",
    )  # fmt: skip
    layer: str | None = option(
        None, metavar="NAME", help="The layer whose maps Grad-CAM weighs and --activations shows; chosen by default."
    )
    masks: int = option(400, at_least=2, metavar="N", help="How many random masks rise and d-rise try.")
    cells: int = option(16, at_least=2, metavar="N", help="Of the random grid behind a mask, along a side.")
    seed: int = option(0, at_least=0, help="Of everything that is drawn by chance.")


@dataclass(frozen=True)
class Shown(Options):
    """What is measured, shown and written."""

    scores: bool = option(True, help="Measure deletion and insertion.")
    sanity: bool = option(False, help="Compare with the maps of the same model with random weights.")
    activations: bool = option(False, help="Show the channels of the layer that see most.")
    filters: bool = option(False, help="Show pictures that these channels like best.")
    format: str = choice("png", "png", "html", help="The kind of the sheet.")
    maps: bool = option(False, help="Write each map as .npy and as a picture, too.")
    show_progress: bool | None = option(
        None, flags=("--progress/--no-progress",), help="Show progress bars; on terminals by default."
    )


CLASSES = (What, How, Shown)
