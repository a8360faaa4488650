"""detkit eval"""

from __future__ import annotations

from pathlib import Path

import click

EXAMPLES = """
\b
Examples:
  detkit eval runs/ducky ducky/test.json
  detkit eval runs/new test.json --against runs/old        is the new one better, or is it chance?
  detkit eval hands voc/ --output hands-on-voc --results detections.json
  detkit eval detections.json annotations.json             stored COCO results
"""


@click.command(name="eval", epilog=EXAMPLES)
@click.argument("model")
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), default="detkit-eval",
    help="The directory for metrics.json and report.html.",
)
@click.option("--against", metavar="MODEL", help="Another model, or its COCO results, to compare with.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the numbers to this file too.")
@click.option("--results", type=click.Path(path_type=Path), help="Write the detections as COCO results to this file.")
@click.option(
    "--score", type=click.FloatRange(0, 1), default=0.0,
    help="Leave out detections below this score. Above 0, AP is lower than the published kind.",
)  # fmt: skip
def eval(model, data, output, against, json_file, results, score) -> None:
    """Measure MODEL on DATA: COCO metrics with intervals, by class, errors by cause, and the worst images to look at.

    MODEL is a name of `detkit zoo list`, a model or run directory, the directory of a baseline, or a COCO results file.
    DATA is annotations in any format that detkit reads. Masks and keypoints are measured too where both have them.
    Of a classifier, a localiser or a segmenter the numbers of its task are given.
    """
    from detkit import api
    from detkit.cli.loading import load
    from detkit.data import read
    from detkit.evaluation.metrics import Metrics
    from detkit.io import make_directory, write_json

    for path in filter(None, (json_file, results)):  # before the work is done
        make_directory(path.parent)
    dataset = data if model.endswith(".json") else read(data)  # a wrong path is found before a model is loaded
    first, second = (name if name is None or name.endswith(".json") else load(name) for name in (model, against))
    summary = api.report(
        first,
        dataset,
        output,
        against=second,
        results=results,
        score=score,
        title=f"{model} on {data}",
    )
    click.echo(summary.table())
    if json_file:
        write_json(json_file, summary.to_json())
    written = [output / name for name in ["metrics.json"] + ["report.html"] * (not isinstance(summary, Metrics))]
    click.echo("\nWritten: " + ", ".join(map(str, [*written, *filter(None, (json_file, results))])) + ".")
