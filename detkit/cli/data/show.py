"""detkit data show"""

from __future__ import annotations

from pathlib import Path

import click

from detkit.cli.data.options import read, reading

EXAMPLES = """
\b
Examples:
  detkit data show train.json sheet.png
  detkit data show voc/ sheet.jpg --count 40 --class dog --class cat
  detkit data show train.json sheet.png --pick smallest
  detkit data show train.json sheet.png --pick unmatched --model hands
  detkit data show train.json sheet.png --augment usual           as training gets the pictures
  detkit data show train.json sheet.png --augment mine.yaml

\b
What --pick shows:
  random     any pictures; --seed changes which          most       those with the most objects
  first      the first ones                              unmatched  those with the objects farthest from
  smallest   those with the smallest objects                        any of the anchors of --model
  largest    those with the largest objects
"""

PICKS = ("random", "first", "smallest", "largest", "most", "unmatched")


@click.command(epilog=EXAMPLES)
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("sheet", type=click.Path(path_type=Path))
@click.option("--count", type=click.IntRange(1, 400), default=16, help="How many pictures to show.")
@click.option("--pick", type=click.Choice(PICKS), default="random", help="Which pictures.")
@click.option("--class", "classes", multiple=True, metavar="NAME", help="Only pictures with this class.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of what is random.")
@click.option("--columns", type=click.IntRange(1), help="Pictures in a row; about as many as rows by default.")
@click.option("--augment", metavar="usual|PIPELINE", help="Vary the pictures as training does, or a pipeline says.")
@click.option("--model", metavar="NAME", help="Whose anchors --pick unmatched means, and whose input size --augment.")
@reading
def show(data, sheet, count, pick, classes, seed, columns, augment, model, **source):
    """Draw pictures with their boxes, masks, keypoints and class maps on one SHEET, a PNG or JPEG file.

    Labels of whole pictures are in the captions. Where there are many objects, only their colours tell the classes.
    """
    from detkit import api

    if pick == "unmatched" and not model:
        raise click.UsageError("--pick unmatched needs --model, whose anchors are meant.")
    dataset = read(data, **source)
    options = {"count": count, "pick": pick, "seed": seed, "classes": classes, "columns": columns}
    shown = api.show(dataset, sheet, **options, model=model, augment=augment)
    click.echo(f"Drew {len(shown)} of {len(dataset)} images in {sheet}.")
