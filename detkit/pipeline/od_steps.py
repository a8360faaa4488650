"""The OD API's augmentation options that a run is to use: typed, and checked for what no message can say of itself."""

from __future__ import annotations

from collections.abc import Iterator

from detkit.errors import ConfigError
from detkit.pipeline import text_format
from detkit.pipeline.message import Message
from detkit.pipeline.od_augmentation import DONE, PreprocessingStep
from detkit.pipeline.sections import Section, build

_RANGES = ("min_aspect_ratio", "max_aspect_ratio", "min_area", "max_area")


def parse(text: str, path: str) -> PreprocessingStep:
    """The option that a text holds, as it stands in `data_augmentation_options { ... }` of a pipeline.config.

    Args:
        text: protobuf text format, such as "random_crop_image { min_area: 0.5 }".
        path: the dotted path of the text, for error messages.

    Raises:
        ConfigError: for what is no option, or one that detkit can't honour.
    """
    step = build(PreprocessingStep, text_format.loads(text, path), path)
    expected = f"one of {', '.join(DONE)}"
    if step.operation is None:
        raise ConfigError(f"{path} holds no option.", where=path, got=repr(text), expected=expected)
    name, operation = step.operation
    if name not in DONE:
        what = f"{path} is an augmentation of the OD API that detkit does not have."
        fix = "Leave it out, or choose detkit's own augmentation: train.augment=true."
        raise ConfigError(what, where=path, got=name, expected=expected, fix=fix)
    for field, got, expected in _problems(operation):
        what = f"{path}.{name}.{field} can't have this value."
        raise ConfigError(what, where=path, got=got, expected=expected)
    return step


def of_config(config) -> list[tuple[str, str]]:
    """The augmentation options of a `detkit.pipeline.od_config.PipelineConfig`: a text for `parse`, and its place."""
    train = config.raw.get("train_config", Message())
    options = [field for field in train if field.name == "data_augmentation_options"]
    inner = [next(iter(option.value), option) for option in options]  # an option may be empty
    texts = [" ".join(text_format.dumps(option.value).split()) for option in options]
    return [(text, field.where) for text, field in zip(texts, inner, strict=True)]


def _problems(message: Section) -> Iterator[tuple[str, str, str]]:
    """What the proto allows but no operation can do: the field, its value, what is expected."""
    for name, count in (("pad_color", 3), ("min_padded_size_ratio", 2), ("max_padded_size_ratio", 2)):
        values = getattr(message, name, ())
        if len(values) not in (0, count):
            yield name, str(list(values)), f"{count} numbers or none"
    for end in ("min", "max"):
        height, width = (getattr(message, f"{end}_image_{side}", None) for side in ("height", "width"))
        if (height is None) != (width is None):
            yield f"{end}_image_height", str(height), f"both this and {end}_image_width, or neither"
    for number, operation in enumerate(getattr(message, "operations", ())):
        for name in _RANGES:
            if getattr(operation, name) <= 0:
                yield f"operations[{number}].{name}", "0, the default of the OD API", "a number above 0"
        yield from ((f"operations[{number}].{field}", *rest) for field, *rest in _problems(operation))
