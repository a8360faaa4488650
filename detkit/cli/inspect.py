"""detkit inspect"""

from __future__ import annotations

import click

EXAMPLES = """
\b
Examples:
  detkit inspect hands
  detkit inspect hands --reset neck --class duck
  detkit inspect models/ssd_mobilenet_v2/checkpoint/ckpt-0
  detkit inspect garden:retinanet_mobile_coco
  detkit inspect garden:retinanet --config overrides.yaml --checkpoint ckpt-5000 --class duck
"""


@click.command(epilog=EXAMPLES)
@click.argument("model", metavar="MODEL|CHECKPOINT")
@click.option("--reset", multiple=True, metavar="GROUP", help="A group or regular expression to reset.")
@click.option("--class", "classes", multiple=True, metavar="NAME", help="A class of the new detector.")
@click.option("--checkpoint", type=click.Path(), help="Another checkpoint than the model's own.")
@click.option("--config", type=click.Path(), help="Overrides in Model Garden's YAML, of garden:EXPERIMENT.")
@click.option("--variables", is_flag=True, help="List every variable, not only the groups.")
def inspect(model, reset, classes, checkpoint, config, variables):
    """Show what a model holds, and what a surgery would do.

    The parts are backbone, neck, head/towers, head/box_head, head/class_head, and where a model has them head/mask_head
    and head/keypoint_head. A surgery, asked for by --reset or --class, restores some and resets others; the report
    counts what is restored, reset, missing, unused and of another shape. Nothing is written.
    """
    from detkit import api

    options = {"reset": reset, "classes": classes, "checkpoint": checkpoint, "config": config}
    click.echo(api.inspect(model, variables=variables, **options))
