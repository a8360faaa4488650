"""Annotated pictures: read, checked, written."""

from __future__ import annotations

from pathlib import Path

from detkit.data import formats
from detkit.data.check import check
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.data.problems import Problem, format_problems

__all__ = ["Dataset", "Example", "Problem", "check", "format_problems", "read", "write"]


def read(path, format: str | None = None, images=None, strict: bool = True, **options) -> Dataset:
    """Read a dataset; no picture is opened, unless the format lacks the pictures' sizes.

    Args:
        path: an annotation file, or a folder with annotations in it.
        format: "coco", "csv", "cvat", "labelme", "openimages", "tfrecord", "voc" or "yolo"; recognised from the
            content by default.
        images: the folder of the pictures, if they are not in one of the usual places; False if no picture
            will be needed, as for evaluating stored results.
        strict: raise if anything can't be used; otherwise leave it out and list it in `Dataset.problems`.
        **options: what else a format knows: `columns` of csv, `split` of yolo.

    Raises:
        DataError: if the format can't be told or the file read; if strict, with all that can't be used.

    Example:
        >>> dataset = detkit.data.read("ducky/train.json")
    """
    module = formats.named(format) if format else formats.recognised(Path(path))
    formats.check_options(module, options)
    return module.read(path, images=images, strict=strict, **options)


def write(dataset: Dataset, path, format: str) -> None:
    """Write a dataset in a format of `read`; pictures are not copied, but TFRecord files hold them.

    The path is a file for "coco", "csv", "cvat", "openimages" and "tfrecord", a folder for the others.

    Raises:
        DataError: for an unknown format, or a dataset that it can't hold.
        ConfigError: where the path can't be written.
    """
    formats.named(format).write(dataset, path)
