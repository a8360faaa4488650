"""What commands that only read annotated pictures have in common: the options that say how, and reading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

_OPTIONS = (
    click.option("--format", "-f", "format_", metavar="NAME", help="The format; told by the content by default."),
    click.option("--images", type=click.Path(path_type=Path), metavar="DIR", help="The pictures, if elsewhere."),
    click.option("--split", metavar="NAME", help="Which split, where DATA has several; train by default."),
    click.option("--leave-out", is_flag=True, help="Leave out what can't be used instead of stopping."),
)


def reading(command: Callable) -> Callable:
    """A command with the options of `read`, after its own."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def read(data: Path, format_: str | None, images: Path | None, split: str | None, leave_out: bool):
    """The dataset at a path; says how many problems it has, if there are any."""
    from detkit import data as datasets

    options = {"split": split} if split else {}
    dataset = datasets.read(data, format_, images=images, strict=not leave_out, **options)
    if dataset.problems:
        click.echo(f"{len(dataset.problems)} problems in the data; `detkit data check` lists them.\n", err=True)
    return dataset
