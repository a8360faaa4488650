"""detkit explain"""

from __future__ import annotations

import click

from detkit.cli.options import GroupedCommand, given, options_of
from detkit.explain.options import CLASSES

EXAMPLES = """
\b
Examples:
  detkit explain hands photo.jpg                          writes photo.explained.png
  detkit explain hands photo.jpg --class hand --detection 1
  detkit explain runs/ducky photos/ -o why/ --format html --maps
  detkit explain runs/flowers rose.jpg --method grad-cam --method smoothgrad --sanity
  detkit explain runs/flowers rose.jpg --layer block_12_add --activations --filters
  detkit explain hands --list-layers
"""


class Explain(GroupedCommand):
    groups = CLASSES


@click.command(cls=Explain, epilog=EXAMPLES)
@click.argument("model")
@click.argument("images", nargs=-1, metavar="IMAGE...")
@click.option("--output", "-o", default=".", metavar="DIR", help="Where sheets and figures go.")
@click.option("--list-layers", is_flag=True, help="List the layers that --layer may name, and the size of their maps.")
@options_of(*CLASSES)
@click.pass_context
def explain(context, model, images, output, list_layers, **options):
    """Show which parts of a picture a model's answer comes from.

    Explained is the best detection, the likeliest class, or the largest region of a class. Each IMAGE, or each picture
    of a folder, becomes a sheet, NAME.explained.png, with the picture, what the model says, and a map for each METHOD;
    NAME.explained.json has the figures. Grad-CAM looks at gradients inside the model, the methods d-rise, rise and
    occlusion at its answers only. Pictures that can't be explained are skipped and named; exit code 1 then.
    """
    from detkit import api
    from detkit.cli.loading import load

    loaded = load(model)
    if list_layers:
        from detkit.explain.run import layers

        for name, shape in layers(loaded).items():
            click.echo(f"{name}  {' x '.join(map(str, shape))}")
        return
    if not images:
        raise click.UsageError("Missing argument 'IMAGE...'.")
    summary = api.explain(loaded, images, output, **given(context, CLASSES))
    click.echo(summary)
    for problem in summary.problems:
        click.echo(f"Warning: {problem}", err=True)
    if summary.problems:
        raise click.exceptions.Exit(1)
