"""Annotated pictures: read, checked, written."""

from __future__ import annotations

from pathlib import Path

from detkit.data import formats
from detkit.data.checks import check
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.data.overview.stats import Stats, stats
from detkit.data.problems import Problem, format_problems
from detkit.data.repairs import repair
from detkit.data.synthesis import synthesize

__all__ = [
    "Dataset",
    "Example",
    "Problem",
    "Stats",
    "check",
    "format_problems",
    "read",
    "repair",
    "stats",
    "synthesize",
    "write",
]


def read(path, format: str | None = None, images=None, strict: bool = True, label_map=None, **options) -> Dataset:
    """Read a dataset; no picture is opened, unless the format lacks the pictures' sizes.

    Args:
        path: an annotation file, or a folder with annotations in it.
        format: "coco", "csv", "cvat", "image_folder", "labelme", "masks", "openimages", "tfrecord", "voc" or "yolo";
            recognised from the content by default.
        images: the folder of the pictures, if they are not in one of the usual places; False if no picture
            will be needed, as for evaluating stored results.
        strict: raise if anything can't be used; otherwise leave it out and list it in `Dataset.problems`.
        label_map: the label map (.pbtxt) of TFRecord files, if it isn't beside them; other formats name their classes.
        **options: what else a format knows: `columns` of csv, `split` of yolo, masks and image_folder, `classes` of
            masks.

    Raises:
        DataError: if the format can't be told or the file read; if strict, with all that can't be used.

    Example:
        >>> dataset = detkit.data.read("ducky/train.json")
    """
    module = formats.named(format) if format else formats.recognised(Path(path))
    formats.check_options(module, options)
    if label_map is not None and module.__name__.endswith(".tfrecord"):
        options["label_map"] = label_map
    return module.read(path, images=images, strict=strict, **options)


def write(dataset: Dataset, path, format: str) -> None:
    """Write a dataset in a format of `read`; pictures are not copied, but TFRecord files hold them.

    What the format has no place for is lost; `detkit.data.formats.lost.lost` tells what that is.

    The path is a file for "coco", "csv", "cvat", "openimages" and "tfrecord", a folder for the others.

    Raises:
        DataError: for an unknown format, or a dataset that it can't hold.
        ConfigError: where the path can't be written.
    """
    formats.named(format).write(dataset, path)
