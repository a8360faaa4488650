"""Annotated pictures: read, checked, written."""

from __future__ import annotations

from pathlib import Path

from detkit.data import formats
from detkit.data.check import check
from detkit.data.dataset import Dataset, Example
from detkit.data.problems import Problem, format_problems

__all__ = ["Dataset", "Example", "Problem", "check", "format_problems", "read", "write"]


def read(path, format: str | None = None, images=None, strict: bool = True) -> Dataset:
    """Read a dataset; no picture is opened.

    Args:
        path: a COCO JSON file, or a folder of Pascal VOC XML files or with annotations/ and images/ in it.
        format: "coco" or "voc"; recognised from the content by default.
        images: the folder of the pictures, if they are not in one of the usual places; False if no picture
            will be needed, as for evaluating stored results.
        strict: raise if anything can't be used; otherwise leave it out and list it in `Dataset.problems`.

    Raises:
        DataError: if the format can't be told or the file read; if strict, with all that can't be used.

    Example:
        >>> dataset = detkit.data.read("ducky/train.json")
    """
    module = formats.named(format) if format else formats.recognised(Path(path))
    return module.read(path, images=images, strict=strict)


def write(dataset: Dataset, path, format: str) -> None:
    """Write a dataset as "coco" (a JSON file) or "voc" (a folder of XML files); pictures are not copied.

    Raises:
        DataError: for an unknown format, or a dataset that it can't hold.
        ConfigError: where the path can't be written.
    """
    formats.named(format).write(dataset, path)
