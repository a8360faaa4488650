"""detkit data stats"""

from __future__ import annotations

from pathlib import Path

import click

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
@click.option("--format", "-f", "format_", metavar="NAME", help="The format; told by the content by default.")
@click.option("--images", type=click.Path(path_type=Path), metavar="DIR", help="The pictures, if elsewhere.")
@click.option("--split", metavar="NAME", help="Which split, where DATA has several; train by default.")
@click.option("--leave-out", is_flag=True, help="Leave out what can't be used instead of stopping.")
def stats(data, model, output, as_json, format_, images, split, leave_out):
    """Count what annotated pictures have in them: classes, sizes, shapes, places.

    MODEL is as for `detkit eval`, or a pipeline.config alone; without one, sizes are in pixels of the pictures. With
    one, it is also told which objects none of its anchors matches: these it learns worst. No picture is opened.
    """
    from detkit import api
    from detkit.data import read

    dataset = read(data, format_, images=images, strict=not leave_out, **({"split": split} if split else {}))
    if dataset.problems:
        click.echo(f"{len(dataset.problems)} problems in the data; `detkit data check` lists them.\n", err=True)
    found = api.stats(dataset, model)
    if output:
        from detkit.visualize.overview import overview

        overview(found, output)
    if as_json:
        import json

        click.echo(json.dumps(found.to_json(), ensure_ascii=False))
    else:
        click.echo(found.table())
    if model and found.overlaps is None:
        click.echo(f"\n{model} has no anchors: it finds objects of any size and shape.", err=True)
    if output:
        click.echo(f"\nDrawn in {output}.", err=as_json)
