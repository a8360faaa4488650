"""detkit data split"""

from __future__ import annotations

from pathlib import Path

import click

EXAMPLES = """
\b
Examples:
  detkit data split photos.json --output parts/                    parts/train.json and parts/val.json
  detkit data split photos.json --into train=0.7 --into val=0.2 --into test=0.1 --output parts/
  detkit data split voc/ --output parts/ --format yolo --seed 1    parts/train/ and parts/val/
  detkit data split photos.json --few-shot 5 --output shots/       five boxes of each class, and the rest

\b
Exit codes:
  0  done
  1  done, but something was left out or lost, as listed
  2  the data can't be read, split or written
"""


@click.command(epilog=EXAMPLES)
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Where to write.")
@click.option(
    "--into", multiple=True, metavar="NAME=FRACTION", help="A part; train=0.8 and val=0.2 by default. May be repeated."
)
@click.option("--few-shot", type=int, metavar="K", help="Into train with K boxes of each class, and val with the rest.")
@click.option("--seed", default=0, metavar="N", type=click.IntRange(0), help="What chance decides depends on it alone.")
@click.option("--no-stratify", is_flag=True, help="Don't look at the classes.")
@click.option("--separate-twins", is_flag=True, help="Don't look for nearly equal pictures, to keep them together.")
@click.option("--format", "-f", "format_", metavar="NAME", help="The format to write; that of SOURCE by default.")
@click.option("--from", "source_format", metavar="NAME", help="The format of SOURCE; told by its content by default.")
@click.option("--images", type=click.Path(path_type=Path), metavar="DIR", help="The pictures of SOURCE, if elsewhere.")
@click.option("--no-images", is_flag=True, help="Annotations only: no picture is needed; as --separate-twins.")
@click.option("--split", metavar="NAME", help="yolo, masks, image_folder: which split to part; train by default.")
@click.option("--leave-out", is_flag=True, help="Leave out what can't be used, and list it, instead of stopping.")
def split(
    source,
    output,
    into,
    few_shot,
    seed,
    no_stratify,
    separate_twins,
    format_,
    source_format,
    images,
    no_images,
    split,
    leave_out,
):
    """Part annotated pictures for training, validation and test.

    Each part gets its share of the boxes of every class, as far as possible, and nearly equal pictures (copies,
    frames of a video) stay together. Pictures stay where they are; the parts name or link them.

    With --few-shot, boxes beyond K in a picture are marked as difficult, so that they don't count, and pictures that
    are nearly equal to one for training are left out.
    """
    from detkit.data import format_problems, formats, parts, read, splitting

    fractions = _fractions(into, few_shot)
    source_format = source_format or formats.recognised(source).__name__.rpartition(".")[2]
    format_ = format_ or source_format
    formats.named(format_)  # before a long read
    options = {"split": split} if split else {}
    images, twins = (False, False) if no_images else (images, not separate_twins)
    dataset = read(source, source_format, images=images, strict=not leave_out, **options)
    if few_shot is not None:
        found = splitting.few_shot_split(dataset, few_shot, seed, twins)
    else:
        found = splitting.split(dataset, [*fractions.values()], seed, not no_stratify, twins)
    named = dict(zip(fractions, found.parts, strict=True))
    paths, problems = parts.write(named, output, format_)
    problems = [*dataset.problems, *problems]
    if problems:
        click.echo(format_problems(problems), err=True)
    click.echo(parts.table(named))
    if found.together:
        click.echo(f"{found.together} groups of nearly equal pictures were kept together.")
    if len(found.left_out):
        click.echo(f"{len(found.left_out)} pictures, nearly equal to one for training, were left out.")
    click.echo("wrote " + ", ".join(map(str, paths.values())))
    if any(problem.severity != "info" for problem in problems):
        raise click.exceptions.Exit(1)


def _fractions(into: tuple[str, ...], few_shot: int | None) -> dict[str, float]:
    """{name: fraction} of texts NAME=FRACTION; of few shots, the names alone matter."""
    if into and few_shot is not None:
        raise click.UsageError("Give --into or --few-shot, not both.")
    fractions = {}
    for text in into or ("train=0.8", "val=0.2"):
        name, _, number = text.partition("=")
        if not name or set(name) & set('/\\:*?"<>|') or name.startswith(".") or name in fractions:
            raise click.BadParameter(f"{text!r}: each part needs a file name of its own", param_hint="--into")
        try:
            fractions[name] = float(number)
        except ValueError:
            raise click.BadParameter(f"{text!r}: give NAME=FRACTION, as train=0.8", param_hint="--into") from None
    if len(fractions) == 1:
        raise click.BadParameter(f"{into[0]!r} is the only part; name the others too", param_hint="--into")
    return fractions
