"""detkit data convert"""

from __future__ import annotations

from pathlib import Path

import click

EXAMPLES = """
\b
Examples:
  detkit data convert voc/ train.json --format coco
  detkit data convert train.json yolo/ --format yolo --images photos/
  detkit data convert train.record photos.json --format coco    also saves the pictures, in images/
  detkit data convert yolo/ val.record@4 --format tfrecord --split val
  detkit data convert boxes.csv voc/ --format voc --column filename=photo --column class=what
  detkit data convert nuclei/ nuclei.json --format coco --class nucleus      masks of objects
  detkit data convert nuclei.json semantic/ --format masks                   the class of each pixel

\b
Formats, and what SOURCE and TARGET are:
  coco          a JSON file                   masks       a folder with images/ and masks/
  csv           a table                       openimages  a table
  cvat          an XML file                   tfrecord    a file, or NAME@SHARDS
  image_folder  a folder with a folder of     voc         a folder of XML files
                pictures for each class       yolo        a folder with data.yaml
  labelme       a folder of JSON files
"""


@click.command(epilog=EXAMPLES)
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--format", "-f", "format_", required=True, metavar="NAME", help="The format of TARGET.")
@click.option("--from", "source_format", metavar="NAME", help="The format of SOURCE; told by its content by default.")
@click.option("--images", type=click.Path(path_type=Path), metavar="DIR", help="The pictures of SOURCE, if elsewhere.")
@click.option("--no-images", is_flag=True, help="Annotations only: the pictures need not be there.")
@click.option("--split", metavar="NAME", help="yolo, masks, image_folder: which split; train by default.")
@click.option("--column", "columns", multiple=True, metavar="OURS=THEIRS", help="csv: what a column is called.")
@click.option("--class", "classes", multiple=True, metavar="NAME", help="masks: the classes, by value; or VALUE=NAME.")
@click.option("--leave-out", is_flag=True, help="Leave out what can't be used, and list it, instead of stopping.")
@click.option("--overwrite", is_flag=True, help="TARGET may be there already: files of the same names are replaced.")
def convert(source, target, format_, source_format, images, no_images, split, columns, classes, leave_out, overwrite):
    """Read annotations in one format and write them in another.

    Pictures stay where they are; TARGET names them. Only tfrecord holds them, and yolo, masks and image_folder link
    to them. What had to be changed, left out or lost is listed, and the exit code is 1 then; 2 if SOURCE can't be
    read or TARGET can't be written.
    """
    from detkit.data import format_problems, formats, read, write
    from detkit.data.formats.extract import save_pictures
    from detkit.data.formats.lost import lost
    from detkit.data.formats.target import check_target

    formats.named(format_)  # before a long read
    options = {"split": split} if split else {}
    options |= {"columns": _columns(columns)} if columns else {}
    options |= {"classes": _classes(classes)} if classes else {}
    check_target(target, source, format_, overwrite)
    images = False if no_images else images
    dataset = read(source, source_format, images=images, strict=not leave_out, **options)
    folder = target.parent if format_ in formats.FILES else target
    if format_ not in formats.WITH_PICTURES:
        dataset = save_pictures(dataset, folder / "images")
    write(dataset, target, format_)
    problems = [*dataset.problems, *lost(dataset, format_)]
    if problems:
        click.echo(format_problems(problems), err=True)
    click.echo(f"wrote {target}: {dataset.size_in_words}")
    if any(problem.severity != "info" for problem in problems):
        raise click.exceptions.Exit(1)


def _columns(texts: tuple[str, ...]) -> dict[str, str]:
    """{our name: theirs} of texts OURS=THEIRS."""
    if any("=" not in text for text in texts):
        raise click.BadParameter("give OURS=THEIRS, as filename=photo", param_hint="--column")
    return dict(text.split("=", 1) for text in texts)


def _classes(texts: tuple[str, ...]):
    """A list of names, or {value: name} of texts VALUE=NAME."""
    pairs = [text.partition("=") for text in texts]
    if not all(value.isdecimal() and name for value, _, name in pairs):
        return list(texts)
    return {int(value): name for value, _, name in pairs}
