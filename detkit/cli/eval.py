"""detkit eval"""

from __future__ import annotations

from pathlib import Path

import click

EXAMPLES = """
\b
Examples:
  detkit eval runs/ducky ducky/test.json
  detkit eval hands voc/ --json metrics.json --results detections.json
  detkit eval detections.json annotations.json
"""


@click.command(name="eval", epilog=EXAMPLES)
@click.argument("model")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the numbers to this file.")
@click.option("--results", type=click.Path(path_type=Path), help="Write the detections as COCO results to this file.")
@click.option(
    "--score", type=click.FloatRange(0, 1), default=0.0,
    help="Leave out detections below this score. Above 0, AP is lower than the published kind.",
)  # fmt: skip
def eval(model: str, data: Path, json_file: Path | None, results: Path | None, score: float) -> None:
    """Measure MODEL on DATA with the COCO metrics, class by class: boxes, and masks and keypoints where both have them.

    MODEL is a name of `detkit zoo list`, a model or run directory, or a COCO results file (then DATA is the
    COCO annotation file it belongs to). DATA is a COCO JSON file or a Pascal VOC folder.
    """
    if model.endswith(".json"):
        from detkit.evaluation.coco import evaluate_files

        metrics = evaluate_files(data, model)
    else:
        from detkit import api
        from detkit.data import read

        dataset = read(data)
        metrics = api.evaluate(api.load(model), dataset, results=results, score=score)
    click.echo(metrics.table())
    if json_file:
        from detkit.io import write_json

        write_json(json_file, metrics.to_json())
        click.echo(f"\nNumbers written to {json_file}.")
