"""`detkit data`: annotated pictures, whatever their format. Each command is a file here."""

from __future__ import annotations

import click

from detkit.cli.lazy import LazyGroup

EXAMPLES = """
\b
Examples:
  detkit data convert voc/ train.json --format coco     `detkit data convert --help` lists the formats
  detkit data check train.json test.json                every problem in the data, and what is in both
  detkit data stats train.json --model hands            counts, sizes, shapes, and what the anchors can match
  detkit data show train.json sheet.png                 pictures with what is annotated in them
  detkit data split photos.json --output parts/         train and val, nearly equal pictures kept together
  detkit data synthesize cutouts/ synthetic/            pictures made out of cut-outs, annotated exactly
"""


class DataCommands(LazyGroup):
    package, names = __name__, ("check", "convert", "show", "split", "stats", "synthesize")


@click.group(cls=DataCommands, epilog=EXAMPLES)
def data():
    """Work with annotated pictures, in whatever format they are."""
