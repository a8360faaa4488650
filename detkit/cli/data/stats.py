"""detkit data stats"""

from __future__ import annotations

import json
from pathlib import Path

import click

from detkit.cli.data.options import read, reading

EXAMPLES = """
\b
Examples:
  detkit data stats train.json
  detkit data stats voc/ --model hands --output stats.png    also what the model's anchors can match
  detkit data stats yolo/ --split val --json > stats.json
"""


@click.command(epilog=EXAMPLES)
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--model", metavar="NAME", help="Measure objects in pixels of this model's input, and by its anchors.")
@click.option("--output", "-o", type=click.Path(path_type=Path), metavar="FILE", help="Draw six plots into a PNG file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--no-images", is_flag=True, help="Annotations only: the pictures need not be there.")
@reading
def stats(data, model, output, as_json, no_images, **source):
    """Count what annotated pictures have in them: classes, sizes, shapes, places.

    MODEL is as for `detkit eval`, or a pipeline.config alone; without one, sizes are in pixels of the pictures. With
    one, it is also told which objects none of its anchors matches: these it learns worst. No picture is opened.
    """
    from detkit import api

    dataset = read(data, **source | ({"images": False} if no_images else {}))
    found = api.stats(dataset, model)
    if output:
        from detkit.visualize.overview import overview

        overview(found, output)
    if as_json:
        click.echo(json.dumps(found.to_json(), ensure_ascii=False))
    else:
        click.echo(found.table())
    if model and found.overlaps is None:
        click.echo(f"\n{model} has no anchors: it finds objects of any size and shape.", err=True)
    if output:
        click.echo(f"\nDrawn in {output}.", err=as_json)
