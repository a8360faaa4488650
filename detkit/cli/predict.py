"""detkit predict"""

from __future__ import annotations

import click

EXAMPLES = """
\b
Examples:
  detkit predict hands photo.jpg                        writes photo.detected.jpg
  detkit predict runs/ducky walk.mp4 -o out.mp4         an annotated video
  detkit predict hands photos/ 'clips/*.mkv' -o drawn/  everything into one directory
  detkit predict hands walk.mp4 --json walk.json        numbers only, nothing drawn
  detkit predict hands walk.mp4 -c hand --threshold 0.6 only sure hands
  detkit predict hands frames/ -o walk.gif --rate 12.5  a folder of frames becomes a video
"""


@click.command(epilog=EXAMPLES)
@click.argument("model")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option(
    "--output", "-o", metavar="PATH",
    help="A directory, or the file itself for a single SOURCE; NAME.detected.* in the current directory by "
    "default.",
)  # fmt: skip
@click.option("--threshold", "-t", type=float, default=0.3, help="Lowest score of a detection, 0 to 1.")
@click.option("--class", "-c", "classes", multiple=True, metavar="NAME", help="Only this class; repeatable.")
@click.option("--labels/--no-labels", default=True, help="Write class names and scores at the boxes.")
@click.option("--json", "json_file", metavar="FILE", help="Write the detections as a COCO results list.")
@click.option("--csv", "csv_file", metavar="FILE", help="Write the detections as a table, boxes in pixels.")
@click.option("--batch-size", type=int, default=8, help="Images to run through the model at once.")
@click.option("--rate", default="25", help="Frames per second of a video made from a folder: 25, 30000/1001.")
@click.option("--progress/--no-progress", default=None, help="Show a progress bar; on terminals by default.")
def predict(model, sources, output, threshold, classes, labels, json_file, csv_file, batch_size, rate, progress):
    """Detect objects in images and videos, and draw them.

    MODEL is a name of `detkit zoo list` or a model or run directory. A SOURCE is an image, a folder of
    images, a video (mp4, gif, mkv, mov, avi, webm) or a quoted pattern. With --json or --csv, and without
    --output, nothing is drawn. Sources that can't be decoded are skipped and named; exit code 1 then.
    """
    from detkit import api

    summary = api.predict(
        api.load(model), sources, output, threshold=threshold, classes=classes or None, labels=labels,
        json=json_file, csv=csv_file, batch_size=batch_size, rate=rate, show_progress=progress,
    )  # fmt: skip
    for warning in summary.warnings:
        click.echo(f"Warning: {warning}", err=True)
    click.echo(summary)
    if summary.skipped:
        raise click.exceptions.Exit(1)
