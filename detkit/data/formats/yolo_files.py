"""Where the parts of a YOLO dataset lie: its description, class names, pictures and label files."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from detkit.data.formats import folders
from detkit.data.formats.common import Pictures, Report
from detkit.data.formats.markup import head
from detkit.data.images import EXTENSIONS
from detkit.errors import DataError
from detkit.io import atomic_write, encoding, unreadable

SPLITS = ("train", "val", "valid", "test")
_NAME_FILES = ("classes.txt", "obj.names", "labels.txt", "names.txt")
_NO_LABELS = ("classes", "labels", "names", "train", "val", "valid", "test", "readme", "requirements", "notes")
_ROW = re.compile(rb"\d+(\.0+)?([ \t]+[-+.\deE]+){4,}[ \t]*[\r\n]")
_LARGEST = 1 << 20  # characters of a data.yaml
_DEEPEST = 20


@dataclass
class Source:
    """A YOLO dataset on disk: pairs of a picture and its label file, which may be None."""

    path: Path
    classes: tuple[str, ...] = ()
    named_in: str = "data.yaml"
    keypoints: int = 0  # numbers a row has after its box
    pairs: list[tuple[Path, Path | None]] = field(default_factory=list)
    labels: list[Path] = field(default_factory=list)
    looked: str = ""


def text(path: Path) -> str:
    """The text of a file; DataError if it can't be read or isn't UTF-8."""
    try:
        return path.read_text(encoding=encoding(path))
    except (OSError, ValueError) as error:
        raise DataError("Can't read this text file.", **unreadable(path, error)) from error


def has_rows(path: Path) -> bool:
    """Whether a file begins with a row of a class number and four fractions or more."""
    return _ROW.match(head(path).lstrip() + b"\n") is not None


def description(folder: Path) -> Path | None:
    """The data.yaml of a folder, whatever its name."""
    names = ("data.yaml", "dataset.yaml", "data.yml")
    files = [folder / name for name in names] + sorted(folder.glob("*.y*ml"))[:20]
    return next((file for file in files if file.is_file() and why_no_description(file) is None), None)


def why_no_description(path: Path) -> str | None:
    """Why a file is no data.yaml; None if it is one."""
    try:
        content = _load(path)
    except DataError as error:
        return f"{error.what} {error.got or ''}".strip()
    if isinstance(content, dict) and "names" in content and any(split in content for split in SPLITS):
        return None
    return 'it has no "names" and "train" or "val", as the data.yaml of a YOLO dataset has'


def _load(path: Path):
    """The content of a YAML file; DataError if it can't be read, or has what could fill the memory or take for ever.

    A few aliases can stand for billions of values, and libyaml's time grows with the square of the nesting.
    """
    import yaml

    content = text(path)
    if len(content) > _LARGEST:
        raise DataError("This data.yaml is too large.", where=path, got=f"{len(content)} characters")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        depth = 0
        for event in yaml.parse(content, Loader=loader):
            if isinstance(event, yaml.AliasEvent):
                raise DataError("This data.yaml uses aliases.", where=path, got="*", expected="plain YAML")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise DataError("This data.yaml is nested too deeply.", where=path, expected=f"{_DEEPEST} levels")
        return yaml.load(content, Loader=loader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError, AttributeError) as error:
        got = " ".join(str(error).split())[:200]
        raise DataError("This is not valid YAML.", where=path, got=got, fix="Correct it, or export again.") from error


def source(path: Path, split: str | None, report: Report) -> Source:
    """What there is at a path: a data.yaml, a folder with one in it, or a folder of labels; DataError if nothing."""
    file = path if path.is_file() else description(path)
    if file:
        return _described(file, split, report)
    if split:
        raise DataError("Only a data.yaml has splits.", where=path, got=f"split {split!r}", fix="Give its folder.")
    found = Source(path)
    found.labels = label_files(path)
    folder = _pictures_folder(path)
    found.looked = str(folder)
    found.classes, found.named_in = _names_near(path, found.labels)
    found.pairs = _pairs(folder, found.labels, report)
    return found


def _described(file: Path, split: str | None, report: Report) -> Source:
    content = _load(file)
    if not isinstance(content, dict):
        raise DataError("This data.yaml is no mapping.", where=file, expected="names: ... and train: ...")
    there = [name for name in SPLITS if content.get(name)]
    wanted = split or (there[0] if there else "train")
    wanted = "valid" if wanted == "val" and "val" not in there and "valid" in there else wanted
    if wanted not in there:
        raise DataError("The data.yaml has no such split.", where=file, got=repr(wanted), expected=", ".join(there))
    others = [name for name in there if content[name] != content[wanted]]
    if split is None and others:
        folders.report_others(wanted, *others, report=report)
    found = Source(file, _names(content.get("names"), file), str(file), _keypoints(content, file))
    places = content[wanted] if isinstance(content[wanted], list) else [content[wanted]]
    for place in places:
        _add_place(found, place, _root(content, file), report)
    return found


def _root(content: dict, file: Path) -> list[Path]:
    base = content.get("path")
    roots = [file.parent / base, file.parent / Path(base).name] if isinstance(base, str) and "\0" not in base else []
    return [*roots, file.parent]


def _add_place(found: Source, place, roots: list[Path], report: Report) -> None:
    """Add the pictures of a folder or of a list of files that a data.yaml names."""
    if not isinstance(place, str) or "\0" in place:
        raise DataError("A split of this data.yaml is no path.", where=found.path, got=type(place).__name__)
    stripped = place.removeprefix("../")  # some tools write paths as seen from a folder beside the data.yaml
    candidates = [root / name for root in roots for name in (place, stripped)]
    there = next((candidate for candidate in candidates if os.path.exists(candidate)), None)
    if there is None:
        looked = ", ".join(dict.fromkeys(map(str, candidates)))
        what = "The pictures that the data.yaml names are not there."
        raise DataError(what, where=found.path, got=f"{place}; looked for {looked}", fix='Correct "path" in it.')
    found.looked = str(there)
    if there.is_dir():
        labels = label_files(there)
        found.labels += labels
        found.pairs += _pairs(_pictures_folder(there), labels, report)
        return
    listed = [line.strip() for line in text(there).splitlines() if line.strip() and "\0" not in line]
    for line in listed:
        image = next((p for root in (there.parent, *roots) if os.path.isfile(p := root / line)), None)
        if image is None:
            report.add("error", "A picture is missing.", file=str(there), image=line, fix="Correct the list of files.")
            continue
        labels = _beside(image.parent) / f"{image.stem}.txt"
        found.pairs.append((image, labels if os.path.isfile(labels) else None))


def _names(names, file: Path) -> tuple[str, ...]:
    """Class names, given as a list or as {number: name}."""
    if isinstance(names, dict) and sorted(map(str, names)) == sorted(map(str, range(len(names)))):
        names = [value for _, value in sorted(names.items(), key=lambda item: int(item[0]))]
    names = [str(name) if type(name) in (int, float, bool) else name for name in names] if type(names) is list else []
    good = [name.strip() for name in names if isinstance(name, str) and name.strip()]
    if not names or len(good) < len(names):
        raise DataError(
            "The class names can't be read.",
            where=file,
            expected="names: [duck, boat], or names: {0: duck, 1: boat}, numbered without gaps",
        )
    return _distinct(good, file)


def _distinct(names: list[str], file: Path) -> tuple[str, ...]:
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None) if len(names) < 20_000 else "?"
    if twice is not None:
        raise DataError("Two classes have the same name.", where=file, got=repr(twice), fix="Rename one of them.")
    return tuple(names)


def _keypoints(content: dict, file: Path) -> int:
    shape = content.get("kpt_shape")
    if shape is None:
        return 0
    if isinstance(shape, list) and len(shape) == 2 and all(type(n) is int and 0 < n < 1000 for n in shape):
        return shape[0] * shape[1]
    raise DataError("kpt_shape can't be read.", where=file, expected="kpt_shape: [17, 3]")


def label_files(path: Path) -> list[Path]:
    """The text files that may hold labels, in a folder or where its labels lie, sorted."""
    folders = (_beside(path), path / "labels", path / "obj_train_data", path)
    for folder in folders:
        files = folder.glob("[!.]*.txt") if folder.is_dir() else []
        found = sorted(file for file in files if file.stem.lower() not in _NO_LABELS or has_rows(file))
        if found:
            return found
    return []


def _beside(folder: Path) -> Path:
    """Where the labels of a folder of pictures lie: in `labels` where it has `images`, or in the same."""
    parts = list(folder.parts)
    for i in range(len(parts) - 1, -1, -1):
        if parts[i] == "images":
            return Path(*parts[:i], "labels", *parts[i + 1 :])
    return folder


def _pictures_folder(path: Path) -> Path:
    parts = list(path.parts)
    swapped = [Path(*parts[:i], "images", *parts[i + 1 :]) for i in range(len(parts)) if parts[i] == "labels"]
    folders = [path / "images", *reversed(swapped), path / "obj_train_data", path]
    return next((folder for folder in folders if folder.is_dir()), path)


def _pairs(folder: Path, labels: list[Path], report: Report) -> list[tuple[Path, Path | None]]:
    """The pictures of a folder with their labels; a problem for labels without a picture."""
    by_stem = {file.stem: file for file in labels}
    pictures = sorted(file for file in folder.iterdir() if file.suffix.lower() in EXTENSIONS) if folder.is_dir() else []
    pairs = [(picture, by_stem.pop(picture.stem, None)) for picture in pictures]
    Pictures([folder]).report_missing([file.stem for file in by_stem.values()], len(labels), report)
    return pairs


def pairs_of_labels(found: Source, finder: Pictures, report: Report) -> list[tuple[Path, Path | None]]:
    """The labels of a source with pictures from a folder that the user names; problems of other folders are dropped."""
    report.problems = [problem for problem in report.problems if problem.severity == "info"]
    return _pairs(finder.folders[0], found.labels, report)


def _names_near(path: Path, labels: list[Path]) -> tuple[tuple[str, ...], str]:
    """The class names in or above a folder, and the file they are in."""
    for folder in dict.fromkeys([path, *(file.parent for file in labels[:1]), *path.absolute().parents[:3]]):
        file = description(folder)
        if file:
            return _names(_load(file)["names"], file), str(file)
        for name in _NAME_FILES:
            if (folder / name).is_file():
                names = [line.strip() for line in text(folder / name).splitlines() if line.strip()]
                return _distinct(names, folder / name), str(folder / name)
    raise DataError(
        "The class names of these YOLO labels are not there.",
        where=path,
        expected="a data.yaml with names, or " + " or ".join(_NAME_FILES),
        fix="Write a file classes.txt with one name a line, in the order of the class numbers.",
    )


def write_description(path: Path, classes: tuple[str, ...]) -> None:
    """Write a data.yaml whose train and val pictures are those in images/."""
    import yaml

    content = {"train": "images", "val": "images", "names": dict(enumerate(classes))}
    with atomic_write(path) as file:
        yaml.safe_dump(content, file, allow_unicode=True, sort_keys=False)
