"""detkit data synthesize"""

from __future__ import annotations

from pathlib import Path

import click

EXAMPLES = """
\b
Examples:
  detkit data synthesize cutouts/ synthetic/ --count 200 --backgrounds photos/
  detkit data synthesize train.json synthetic/ --size 480x640 --objects 1-3 --scale 0.1-0.4
  detkit data synthesize digits digits/ --count 1000 --test 200
  detkit data synthesize shapes shapes/ --count 200 --format voc
  detkit data synthesize boats boats/                            the photos of `detkit demo`

\b
Presets, which need no files, and write a training and a test set:
  digits    28x28 digits on a black canvas of 75x75, with class and box
  shapes    coloured squares, circles and triangles, with boxes and masks
  boats     a drawn toy boat on all sorts of ground, with boxes
"""


class _Pair(click.ParamType):
    """Two numbers with a sign between them."""

    def __init__(self, number: type, sign: str, name: str):
        self.number, self.sign, self.name = number, sign, name

    def convert(self, value, param, context):
        try:
            low, high = map(self.number, str(value).split(self.sign))
        except ValueError:
            self.fail(f"{value!r} is not two numbers, as {self.name}.", param, context)
        return low, high


_PATH = click.Path(path_type=Path)


@click.command(epilog=EXAMPLES)
@click.argument("source", metavar="SOURCE|PRESET")
@click.argument("output", type=_PATH)
@click.option("--count", "-n", type=click.IntRange(1), help="How many pictures. [cut-outs: 100]")
@click.option("--test", type=click.IntRange(0), help="Presets: how many pictures of a test set.")
@click.option("--backgrounds", type=_PATH, help="A folder of photos that show none of the objects; drawn by default.")
@click.option("--size", type=_Pair(int, "x", "480x640"), metavar="HxW", help="Of the pictures. [cut-outs: 480x640]")
@click.option("--objects", type=_Pair(int, "-", "1-4"), metavar="MIN-MAX", help="In a picture. [cut-outs: 1-4]")
@click.option("--scale", type=_Pair(float, "-", "0.15-0.6"), metavar="MIN-MAX",
              help="An object's longer side as a share of the picture's shorter one. [cut-outs: 0.15-0.6]")  # fmt: skip
@click.option("--angle", type=float, help="Turn objects so far at most, in degrees. [cut-outs: 25]")
@click.option("--occlusion", type=float, help="Hide so much of an object at most, 0 to 1. [cut-outs: 0.3]")
@click.option("--light", type=float, help="How much the light differs, 0 to 1. [0.6]")
@click.option("--shadow", type=float, help="How dark shadows are at most, 0 to 1. [0.6]")
@click.option("--mirror/--no-mirror", default=None, help="Whether objects may be mirrored. [cut-outs: they may]")
@click.option("--box", type=click.Choice(["cell", "tight"]), help="digits: around 28x28 pixels, or what is visible.")
@click.option("--originals", type=_PATH, metavar="FILE", help="digits: MNIST's mnist.npz, instead of scikit-learn's.")
@click.option("--seed", type=click.IntRange(0), help="Other pictures for another. [0]")
@click.option("--format", "-f", metavar="NAME", help="Of the annotation, as of `detkit data convert`. [coco]")
@click.option("--encoding", type=click.Choice(["jpeg", "png"]), help="Of the pictures. [jpeg]")
@click.option("--overwrite", is_flag=True, default=None, help="OUTPUT may hold other files.")
def synthesize(source, output, **options):
    """Make annotated pictures out of cut-outs: exact boxes and masks of what is visible.

    SOURCE is a folder of PNG or WebP files with transparency, one object each, by class in folders or named like
    duck_01.png; or an annotation file, whose objects are cut out by their masks, or found in their boxes.

    OUTPUT gets images/, annotations.json (or what the format has), and sheet.png to look at. The same command
    goes on where it was interrupted; a greater --count adds pictures. The exit code is 1 if the format lost something,
    and 2 for wrong input.
    """
    from detkit.data import format_problems
    from detkit.data.synthesis.presets import make

    given = {name: value for name, value in options.items() if value is not None}
    made = make(source, output, **given)
    problems = [problem for dataset in made for problem in dataset.problems]
    if problems:
        click.echo(format_problems(problems), err=True)
    for dataset in made:
        click.echo(f"wrote {dataset.name}: {dataset.size_in_words}")
    sheets = (output / folder / "sheet.png" for folder in ("", "train", "test"))
    click.echo("look at " + " and ".join(str(path) for path in sheets if path.is_file()))
    if any(problem.severity != "info" for problem in problems):
        raise click.exceptions.Exit(1)
