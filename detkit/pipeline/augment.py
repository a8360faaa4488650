"""The keys of `train.augment`: how training images are varied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from detkit.errors import ConfigError
from detkit.pipeline import od_steps
from detkit.pipeline.fields import option
from detkit.pipeline.od_augmentation import PreprocessingStep
from detkit.pipeline.options import Options, from_mapping

_OD_API = 'a list of texts, each one option as in a pipeline.config: "random_horizontal_flip { }"'


def _od_api(value, path: str) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(one, str) for one in value):
        raise ConfigError(f"{path} can't have this value.", where=path, got=repr(value), expected=_OD_API)
    for number, text in enumerate(value):
        od_steps.parse(text, f"{path}[{number}]")
    return tuple(value)


def _share(help: str):
    return option(0.0, at_least=0, at_most=1, help=help)


@dataclass(frozen=True)
class Augment(Options):
    """How far training images are varied at random; zoom_out, zoom_in and stretch are off at 1, all others at 0."""

    PATH: ClassVar[str] = "train.augment"

    flip: float = _share("The probability of a horizontal flip.")
    zoom_out: float = option(
        1.0, at_least=1, at_most=10, help="A view may be up to this many times as large as the photo, filled up plain."
    )
    zoom_in: float = option(
        1.0, at_least=1, at_most=10,
        help="A view may show as little as one over this of the photo's sides; one object stays whole.",
    )  # fmt: skip
    stretch: float = option(1.0, at_least=1, at_most=3, help="The largest change of the aspect ratio.")
    colour: float = _share("The strength of changes of brightness, contrast, saturation and hue.")
    mosaic: float = _share("The probability of four photos side by side in one view.")
    vertical_flip: float = _share("The probability of a vertical flip.")
    rotate90: float = _share("The probability of a turn by 90, 180 or 270 degrees.")
    rotate: float = option(0.0, at_least=0, at_most=180, help="The largest angle of a turn either way, in degrees.")
    blur: float = option(0.0, at_least=0, at_most=20, help="The largest standard deviation of a blur, in pixels.")
    noise: float = option(0.0, at_least=0, at_most=100, help="The largest standard deviation of noise, of 255 levels.")
    jpeg: float = option(0.0, at_least=0, at_most=99, help="How far below 100 the quality of a JPEG file may fall.")
    cutout: float = _share("The probability of one to three plain rectangles that hide parts of a view.")
    mixup: float = _share("The probability of a second photo that shines through.")
    copy_paste: float = _share("The probability of objects of another photo, pasted by their masks or else by box.")
    od_api: tuple[str, ...] = option(
        (), convert=_od_api, expects=_OD_API,
        help="Options of the OD API, in order and before all others; those of a pipeline.config that is trained.",
    )  # fmt: skip

    @classmethod
    def expand(cls, value):
        """`true` stands for the usual options, `none` for no options."""
        if value is True:
            return dict(USUAL_AUGMENTATION)
        return {} if value is None or value is False or value == "none" else value

    @cached_property
    def od_steps(self) -> tuple[PreprocessingStep, ...]:
        """The options of the OD API, typed."""
        return tuple(od_steps.parse(text, f"{self.PATH}.od_api[{number}]") for number, text in enumerate(self.od_api))


# A model input of fixed shape squeezes photos of different aspect ratios differently: `stretch` covers that.
USUAL_AUGMENTATION = {
    "flip": 0.5, "zoom_out": 1.5, "zoom_in": 2.0, "stretch": 1.8, "colour": 0.5, "mosaic": 0.5,
}  # fmt: skip
AUGMENT = "none, true, or a mapping of options, such as flip and zoom_in, to their values"


def augment(value, path: str) -> Augment | None:
    """The checked value of `train.augment`, None if it changes nothing."""
    mixed = isinstance(value, Augment | Mapping) or value is None or isinstance(value, bool) or value == "none"
    if not mixed:
        raise ConfigError(f"{path} can't have this value.", where=path, got=repr(value), expected=AUGMENT)
    checked = from_mapping(Augment, value)
    return None if checked == Augment() else checked
