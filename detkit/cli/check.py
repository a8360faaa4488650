"""detkit check"""

from __future__ import annotations

from pathlib import Path

import click

EXAMPLES = """
\b
Examples:
  detkit check ducky/train.json
  detkit check mine.yaml --set data.train=photos/train.json
  detkit check runs/ducky
  detkit check garden:retinanet_mobile_coco
  detkit check model_garden.yaml --experiment retinanet_resnetfpn_coco
  detkit check yolo/data.yaml
"""


@click.command(epilog=EXAMPLES)
@click.argument("target", type=click.Path(path_type=Path), metavar="PIPELINE|DATA|MODEL")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE",
    help="Override a field of the pipeline; may be repeated.",
)  # fmt: skip
@click.option("--experiment", metavar="NAME", help="Of a pipeline in Model Garden's layout: the experiment it is of.")
def check(target: Path, overrides: tuple[str, ...], experiment: str | None) -> None:
    """Find every problem before anything is run.

    All in one pass: each problem with its place, what was found and expected, and what to do next. Of a pipeline,
    its data, its model, and pictures that training and test data share; `detkit data check` knows more of data alone.
    Exit code 1 if there is an error among the problems, 0 if there are only warnings and notes.
    """
    from detkit import api
    from detkit.data.problems import format_problems

    overrides = [*overrides, *([f"experiment={experiment}"] if experiment else [])]
    problems = api.check(target, overrides=overrides)
    click.echo(format_problems(problems))
    if any(problem.severity == "error" for problem in problems):
        raise click.exceptions.Exit(1)
