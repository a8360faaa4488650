"""`detkit garden`: what of Model Garden can be loaded by name."""

from __future__ import annotations

import click

EXAMPLES = """
\b
Examples:
  detkit garden list
  detkit garden list --json
"""


@click.group(epilog=EXAMPLES)
def garden():
    """Look at the experiments of tf-models-official that find or segment objects."""


@garden.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def list_experiments(as_json: bool):
    """List the experiments, with their size, their parameters, and what is broken upstream.

    \b
    Load one in Python with
      detkit.load("garden:retinanet_mobile_coco", checkpoint=..., config="overrides.yaml")
    or train one with model.name set to garden:NAME, and model.config to the overrides.
    """
    from detkit.garden.catalogue import EXPERIMENTS

    if as_json:
        import json

        click.echo(json.dumps([_row(entry) for entry in EXPERIMENTS], indent=1))
    else:
        _print_table(EXPERIMENTS)


def _row(entry) -> dict:
    return {
        "name": entry.name,
        "state": entry.state,
        "family": entry.family,
        "backbone": entry.backbone,
        "size": entry.size,
        "columns": entry.columns,
        "parameters": entry.parameters,
        "needs": dict(entry.needs),
        "broken": entry.broken,
        "note": entry.note,
    }


def _print_table(entries) -> None:
    from detkit.text import aligned

    rows = [["name", "state", "family", "backbone", "input", "M parameters"]]
    for entry in entries:
        size = "x".join(map(str, entry.size)) if entry.size else "-"
        parameters = f"{entry.parameters / 1e6:.1f}" if entry.parameters else "-"
        rows.append([entry.name, entry.state, entry.family, entry.backbone, size, parameters])
    click.echo(aligned(rows))
    click.echo("\ntrains: detkit trains and runs it. runs: to predict and evaluate. builds: no bridge to it yet.")
    for entry in entries:
        needs = [f"needs {path}, such as {example}" for path, example in entry.needs.items()]
        broken = [f"broken upstream: {entry.broken}"] if entry.broken else []
        for text in (*broken, *needs, *filter(None, [entry.note])):
            click.echo(f"{entry.name}: {text}")
