"""detkit train"""

from __future__ import annotations

from math import isfinite
from pathlib import Path

import click

EXAMPLES = """
\b
Examples:
  detkit train pipelines/rubber_ducky.yaml --set data.train=ducky/train.json
  detkit train mine.yaml --set train.steps=300 --set train.learning_rate=0.02
  detkit train mine.yaml --output runs/mine --resume
  detkit train mine.yaml --set model.name=garden:retinanet_mobile_coco --set model.config=overrides.yaml
  detkit train model_garden.yaml --experiment retinanet_resnetfpn_coco --set train.steps=200
"""


@click.command(epilog=EXAMPLES)
@click.argument("pipeline", type=click.Path(path_type=Path))
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE",
    help="Override a field of the pipeline, by its path in the YAML; may be repeated.",
)  # fmt: skip
@click.option("--experiment", metavar="NAME", help="Of a pipeline in Model Garden's layout: the experiment it is of.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Run directory; the pipeline's own by default.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in the run directory.")
@click.option("--overwrite", is_flag=True, help="Replace a run that is in the run directory already.")
def train(pipeline, overrides, experiment, output, resume, overwrite) -> None:
    """Train a model as PIPELINE says: a detector, or by its task a classifier, a localiser or a segmenter.

    PIPELINE is a YAML file with the keys task, model, data, train and output, an OD API pipeline.config, or the YAML
    of Model Garden's trainer (task, trainer, runtime): what of it detkit does not read is listed in log.txt, and by
    `detkit check PIPELINE`. --set takes detkit's keys and, for such a file, Model Garden's too.

    The run directory that comes out is a model: `detkit predict RUN photo.jpg`.
    """
    from detkit import api
    from detkit.text import aligned

    overrides = [*overrides, *([f"experiment={experiment}"] if experiment else [])]
    run = api.train(pipeline, overrides=overrides, output=output, resume=resume, overwrite=overwrite)
    numbers = {name: value for name, value in run.metrics.items() if "/" not in name}  # without those of a class
    click.echo(aligned([[name, f"{value:.4g}" if isfinite(value) else "-"] for name, value in numbers.items()]))
    click.echo(f"The model is in {run.directory}. Try it:  detkit predict {run.directory} PHOTO")
