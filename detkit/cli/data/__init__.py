"""`detkit data`: annotated pictures, whatever their format. Each command is a file here."""

from __future__ import annotations

import click

from detkit.cli.lazy import LazyGroup

EXAMPLES = """
\b
Examples:
  detkit data convert voc/ train.json --format coco     `detkit data convert --help` lists the formats
  detkit check train.json                               every problem in the data
"""


class DataCommands(LazyGroup):
    package, names = __name__, ("convert",)


@click.group(cls=DataCommands, epilog=EXAMPLES)
def data():
    """Work with annotated pictures, in whatever format they are."""
