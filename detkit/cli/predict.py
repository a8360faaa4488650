"""detkit predict"""

from __future__ import annotations

import click

from detkit.cli.options import GroupedCommand, given, options_of
from detkit.inference.options import CLASSES

EXAMPLES = """
\b
Examples:
  detkit predict hands photo.jpg                        writes photo.detected.jpg
  detkit predict runs/ducky walk.mp4 -o out.mp4         an annotated video
  detkit predict hands photos/ 'clips/*.mkv' -o drawn/  everything into one directory
  detkit predict hands walk.mp4 --json walk.json        numbers only, nothing drawn
  detkit predict hands walk.mp4 -c hand --threshold 0.6 only sure hands
  detkit predict hands frames/ -o walk.gif --rate 12.5  a folder of frames becomes a video
  detkit predict hands walk.mp4 --start 1:30 --stop 2:00 --sample-rate 5 --jsonl walk.jsonl
  find clips -name '*.mp4' | detkit predict hands - -o drawn/
  detkit predict hands camera:0 -o now.mp4              until Ctrl-C
"""


class Predict(GroupedCommand):
    groups = CLASSES


@click.command(cls=Predict, epilog=EXAMPLES)
@click.argument("model")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option(
    "--output", "-o", metavar="PATH",
    help="A directory, or the file itself for a single SOURCE; NAME.detected.* in the current directory by "
    "default.",
)  # fmt: skip
@options_of(*CLASSES)
@click.pass_context
def predict(context, model, sources, output, **options):
    """Run a model over images and videos, and draw what it finds.

    Of a detector these are objects, of a segmenter the classes of pixels, of a classifier the classes of pictures.
    Scores, classes, tiles, tracks and --resume are for detectors only.

    MODEL is a name of `detkit zoo list` or a model or run directory. A SOURCE is an image, a folder of
    images, a video (whatever FFmpeg reads; animated GIF too), a quoted pattern, a camera (camera:0), an address
    (rtsp://..., http://...), or - for a list of sources on the standard input, one a line. With --json, --csv or
    the like, and without --output, nothing is drawn. Sources that can't be decoded are skipped and named; exit
    code 1 then. Ctrl-C finishes what is written so far; exit code 130 then.
    """
    from detkit import api
    from detkit.cli.loading import load

    summary = api.predict(load(model), sources, output, **given(context, CLASSES))
    for warning in summary.warnings:
        click.echo(f"Warning: {warning}", err=True)
    click.echo(summary)
    if getattr(summary, "interrupted", False):
        raise click.exceptions.Exit(130)
    if summary.skipped:
        raise click.exceptions.Exit(1)
