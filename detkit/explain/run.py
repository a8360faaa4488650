"""`explain`: from a model and pictures to sheets, figures and maps."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import numpy as np

from detkit.data.streams import images_in, opened, several
from detkit.errors import ConfigError, DetkitError
from detkit.explain import activations, filters, methods, sanity, scores
from detkit.explain.explanation import Explanation
from detkit.explain.options import CLASSES, How, Shown, What
from detkit.explain.prediction import drawn, proper
from detkit.explain.sheet import write_sheet
from detkit.explain.subject import Subject
from detkit.explain.views import view_of
from detkit.io import make_directory, write_json
from detkit.pipeline.fields import nearest
from detkit.progress import progress

_CHANNELS = 24  # that --activations shows
_FILTERS, _FILTER_SIDE = 8, 128  # that --filters shows, and their size where the model leaves a choice


class Summary(NamedTuple):
    """What `explain` made: the explanations, the files that were written, and what went wrong with other pictures."""

    explanations: tuple[Explanation, ...]
    files: tuple[Path, ...]
    problems: tuple[DetkitError, ...]

    def __str__(self) -> str:
        lines = []
        for each in self.explanations:
            lines.append(f"{each.source or 'picture'}: {each.target}" + f", maps at {each.layer}" * bool(each.layer))
            for method, numbers in each.numbers.items():
                lines.append(f"  {method}: " + ", ".join(f"{name} {_shown(v)}" for name, v in numbers.items()))
        return "\n".join([*lines, *(f"Written: {file}" for file in self.files)])


def explain(model, images, output: str | Path | None = None, **options) -> Summary:
    """Shows which parts of pictures a model's answers come from.

    Args:
        model: a detector, classifier, localizer or segmenter of `detkit.load`, or anything with `detect` and `classes`.
        images: paths of pictures, or of folders of them, or uint8 arrays [H, W, 3] RGB; or one of them.
        output: a directory for a sheet and the figures of each picture; nothing is written without.
        options: those of `detkit.explain.options`, such as method=("grad-cam", "d-rise"), class_name="duck",
            detection=0, layer="backbone/block_12", masks=400, sanity=True, format="html", maps=True.

    Returns:
        A Summary; `.explanations[0].maps["grad-cam"]` is a float32 [h, w] over the whole picture.

    Raises:
        ConfigError: for an unknown option, class, layer or detection, and for a method that the model can't have.
        DataError, MediaError: if no picture can be explained; of several, the others' problems are in the summary.
    """
    what, how, shown = _settings(options)
    listed = _listed_images(images)
    if not listed:
        raise ConfigError("There is no picture to explain.", fix="Name at least one.")
    names = _names(listed)
    found, files, problems = [], [], []
    for image, name in zip(progress(listed, description="explain", show=_bar(shown, listed)), names, strict=True):
        try:
            explanation = explain_one(model, image, what, how, shown)
        except ConfigError:
            raise
        except DetkitError as error:
            problems.append(_located(error, image))
            continue
        found.append(explanation)
        if output is not None:
            files += _write(explanation, make_directory(output), name, shown)
    if not found:
        raise problems[0]
    return Summary(tuple(found), tuple(files), tuple(problems))


def explain_one(model, image, what: What, how: How, shown: Shown) -> Explanation:
    """One picture's explanation; arguments and errors as for `explain`."""
    pixels, source = opened(image)
    network = getattr(view_of(model), "network", None)
    with network.as_at_inference() if network else nullcontext():
        subject = Subject(model, pixels, what, how.layer)
        maps, numbers = {}, {}
        for method in how.method or methods.default_methods(subject):
            start = time.perf_counter()
            maps[method] = methods.explain_by(method, subject, how, shown.show_progress)
            seconds = {"seconds": round(time.perf_counter() - start, 2)}
            numbers[method] = _figures(maps[method], method, subject, how, shown) | seconds
        grids = dict(_grids(subject, how, shown))
        looked = any(name.startswith("grad-cam") for name in maps) or bool(grids)
        layer, target = subject.layer if looked else None, subject.target
        prediction = drawn(subject)
        name = getattr(model, "name", type(model).__name__)
        return Explanation(
            source, name, target.text, proper(subject.image), prediction, target.box, layer, maps, numbers, grids
        )


def layers(model) -> dict[str, list[int]]:
    """{layer that --layer may name: [h, w, C] of its maps}; ConfigError for a model without."""
    view = view_of(model)
    if view is None:
        raise ConfigError("This model only answers; its layers can't be seen.", got=type(model).__name__)
    found = view.layers()
    view.checked(None, found)
    return found


def _figures(saliency: np.ndarray, method: str, subject: Subject, how: How, shown: Shown) -> dict:
    """The figures of a map."""
    found = {}
    if shown.scores:
        for name, measure in (("deletion", scores.deletion), ("insertion", scores.insertion)):
            found[name] = round(scores.area(measure(subject.target.answer, subject.picture, saliency)), 4)
    if (box := subject.target.box) is not None:
        found["top_in_box"] = round(scores.top_in_box(saliency, box), 4)
        found["energy_in_box"] = round(scores.energy_in_box(saliency, box), 4)
        found["pointed"] = scores.pointed(saliency, box)
    if shown.sanity:
        found |= _sanity(saliency, method, subject, how)
    return found


def _sanity(saliency, method, subject, how) -> dict:
    network = subject.inside("The comparison with random weights").network
    if method in ("grad-cam", "grad-cam++"):
        subject.keep_layer()

    def again():
        subject.forget()
        return methods.explain_by(method, subject, how)

    found = sanity.randomization(network, again, saliency, how.seed)
    subject.forget()
    return {f"random_{depth}": round(value, 4) for depth, value in found.items()}


def _grids(subject: Subject, how: How, shown: Shown) -> Iterator[tuple[str, np.ndarray]]:
    """(words, picture) of what is shown beside the maps."""
    if not (shown.activations or shown.filters):
        return
    channels = activations.strongest(subject.maps, _CHANNELS)
    if shown.activations:
        pictures = activations.channel_pictures(subject.seen, channels)
        yield f"activations of {subject.layer}, channels {_listed(channels)}", activations.grid(pictures, 12)
    if shown.filters:
        view, layer, best = subject.view, subject.layer, channels[:_FILTERS]
        size = view.network.input_size or (_FILTER_SIDE, _FILTER_SIDE)
        liked = filters.preferred(
            lambda x: view.map_of(layer, x), best, size, seed=how.seed, show_progress=shown.show_progress
        )
        yield f"what channels {_listed(best)} of {layer} like best", activations.grid(list(liked), _FILTERS, 160)


def _listed(channels) -> str:
    return ", ".join(map(str, channels))


def _settings(values: Mapping) -> tuple[What, How, Shown]:
    known = {field.name: cls for cls in CLASSES for field in fields(cls)}
    for name in values:
        if name not in known:
            fix = nearest(name, known) or f"The options are: {', '.join(known)}."
            raise ConfigError("There is no such option of an explanation.", got=name, fix=fix)
    return tuple(cls(**{k: v for k, v in values.items() if known[k] is cls}) for cls in CLASSES)


def _listed_images(images) -> list:
    """The images themselves, and those in the folders among them."""
    listed: list = []
    for image in several(images):
        is_folder = isinstance(image, (str, Path)) and Path(image).is_dir()
        found = images_in(Path(image)) if is_folder else [image]
        if not found:
            raise ConfigError("The folder holds no images.", where=image, fix="Name a folder with images.")
        listed += found
    return listed


def _bar(shown: Shown, listed: Sequence) -> bool | None:
    return shown.show_progress if len(listed) > 1 else False


def _names(listed: Sequence) -> list[str]:
    """The beginning of the files' names of each picture: its own, numbered where several have one."""
    stems = [Path(each).stem if isinstance(each, (str, Path)) else "picture" for each in listed]
    before = [stems[:i].count(stem) for i, stem in enumerate(stems)]
    return [f"{stem}-{n + 1}" if n else stem for stem, n in zip(stems, before, strict=True)]


def _located(error: DetkitError, image) -> DetkitError:
    """The error, which then says in which picture it was."""
    if error.where is not None or not isinstance(image, (str, Path)):
        return error
    parts = {name: getattr(error, name) for name in ("got", "expected", "fix")}
    return type(error)(error.what, where=str(image), **parts)


def _write(explanation: Explanation, directory: Path, name: str, shown: Shown) -> list[Path]:
    from detkit.io import atomic_write
    from detkit.visualize.sheet import save

    files = [directory / f"{name}.explained.{shown.format}", directory / f"{name}.explained.json"]
    write_sheet(explanation, files[0])
    write_json(files[1], explanation.to_json())
    for method, saliency in explanation.maps.items() if shown.maps else ():
        files += [directory / f"{name}.{method}.npy", directory / f"{name}.{method}.png"]
        with atomic_write(files[-2], "wb") as file:
            np.save(file, saliency, allow_pickle=False)
        save(explanation.overlay(method), files[-1])
    return files


def _shown(value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}"
