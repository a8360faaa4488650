"""`detkit garden`: what of Model Garden can be loaded by name."""

from __future__ import annotations

import click

EXAMPLES = """
\b
Examples:
  detkit garden list
  detkit garden list --json
  detkit inspect garden:retinanet_mobile_coco
  detkit train mine.yaml --set model.name=garden:retinanet_mobile_coco --set model.config=overrides.yaml
  detkit train model_garden.yaml --experiment retinanet_resnetfpn_coco
"""
STATES = {
    "trains": "detkit trains and runs it",
    "runs": "detkit runs it, to predict and evaluate, but does not train it",
    "builds": "detkit has no bridge to it",
    "broken": "Model Garden itself fails",
}


@click.group(epilog=EXAMPLES)
def garden():
    """Look at the experiments of tf-models-official that find or segment objects.

    Wherever detkit takes a model, garden:NAME is the model of an experiment, and a run directory what was made of it:
    to inspect and check, train, evaluate, predict, explain and export. Its options are overridden as for Model Garden's
    own trainer, in a YAML file (model.config in a pipeline, config= in Python), or by a pipeline that is written
    like its trainer's.
    """


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
    from detkit.garden.classifiers import CLASSIFIERS

    entries = (*EXPERIMENTS, *CLASSIFIERS)
    if as_json:
        import json

        click.echo(json.dumps([_row(entry) for entry in entries], indent=1))
    else:
        _print_table(entries)


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

    rows = [["name", "state", "family", "backbone", "input", "columns", "M parameters"]]
    for entry in entries:
        size = "x".join(map(str, entry.size)) if entry.size else "-"
        parameters = f"{entry.parameters / 1e6:.1f}" if entry.parameters else "-"
        facts = [entry.name, entry.state, entry.family, entry.backbone]
        rows.append([*facts, size, str(entry.columns or "-"), parameters])
    click.echo(aligned(rows))
    states = [entry.state for entry in entries]
    click.echo()
    for state, meaning in STATES.items():
        if state in states:
            click.echo(f"{state}: {meaning}")
    click.echo("columns: of the class scores, the background's with them\n")
    for text, names in _remarks(entries).items():
        click.echo(f"{', '.join(names)}: {text}")


def _remarks(entries) -> dict[str, list[str]]:
    """{what there is to know: of which experiments}."""
    remarks: dict[str, list[str]] = {}
    for entry in entries:
        needs = [f"{path}, such as {example}" for path, example in entry.needs.items()]
        broken = [f"broken upstream: {entry.broken}"] if entry.broken else []
        needed = [f"needs {' and '.join(needs)}"] if needs else []
        for text in (*broken, *needed, *filter(None, [entry.note])):
            remarks.setdefault(text, []).append(entry.name)
    return remarks
