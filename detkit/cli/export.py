"""detkit export"""

from __future__ import annotations

from pathlib import Path

import click

# As in `detkit.export.export.FORMATS`, which can't be had without TensorFlow.
FORMATS = ("savedmodel", "keras", "tflite", "tflite-float16", "tflite-dynamic", "tflite-int8", "onnx")
EXAMPLES = """
\b
Examples:
  detkit export hands --to savedmodel          writes hands.savedmodel/, with the signature of the OD API
  detkit export runs/ducky --to tflite -o ducky.tflite
  detkit export runs/ducky --to onnx --to tflite-float16 -o exports
  detkit export runs/ducky --to tflite-int8 --data ducky/train.json
"""


@click.command(epilog=EXAMPLES)
@click.argument("model")
@click.option("--to", "formats", multiple=True, required=True, type=click.Choice(FORMATS), help="Format; repeatable.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path),
    help="The file or directory of one format, the directory of several; NAME.* in the current directory by default.",
)  # fmt: skip
@click.option(
    "--data", "-d", type=click.Path(path_type=Path),
    help="Annotated images to check the exports with, and to measure the ranges of tflite-int8 on.",
)  # fmt: skip
@click.option("--progress/--no-progress", default=None, help="Show a progress bar; on terminals by default.")
def export(model, formats, output, data, progress):
    """Write MODEL in formats that other runtimes read.

    Each export holds what is to be done before and after the network, the class names and the pipeline.config. It is
    reloaded in its own runtime and compared with MODEL on images: the table shows the largest differences of scores
    and of normalised coordinates, its size, and how long it takes for an image. One that does not agree is removed.
    `detkit eval` and `detkit predict` take exported models, too.
    """
    from detkit import api

    click.echo(api.export(model, formats, output, data, show_progress=progress).table())
