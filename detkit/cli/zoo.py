"""`detkit zoo`: what can be loaded by name."""

from __future__ import annotations

import click


@click.group()
def zoo():
    """List, show and fetch the models that have a name."""


@zoo.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def list_models(as_json: bool):
    """List all models with their published accuracy and speed."""
    from detkit.zoo import entries

    if as_json:
        click.echo(_json([_row(entry) for entry in entries()]))
    else:
        _print_table(entries())


@zoo.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def show(name: str, as_json: bool):
    """Show all that is known of the model NAME."""
    from detkit.zoo import find

    row = _row(find(name))
    if as_json:
        click.echo(_json(row))
        return
    for key, value in row.items():
        click.echo(f"{key.replace('_', ' '):<13} {_text(value)}")


@zoo.command()
@click.argument("name")
@click.option("--mirror", metavar="DIR|URL", help="Where to get it instead of the zoo's own server.")
@click.option("--force", is_flag=True, help="Download and unpack again what is there already.")
def fetch(name: str, mirror: str | None, force: bool):
    """Download the model NAME into the cache and print its directory."""
    from detkit import zoo as models

    directory, entry = models.fetch(name, force=force, mirror=mirror), models.find(name)
    click.echo(directory)
    if not entry.buildable:
        hint = f"`detkit inspect {directory / 'checkpoint'}` lists its variables."
        click.echo(f"detkit can't build {entry.name}; {hint}", err=True)


def _row(entry) -> dict:
    from detkit.zoo import is_fetched, model_directory

    return {
        "name": entry.name,
        "title": entry.title,
        "family": entry.family,
        "input_size": entry.input_size,
        "classes": entry.classes,
        "box_map": entry.box_map,
        "keypoint_map": entry.keypoint_map,
        "mask_map": entry.mask_map,
        "speed_ms": entry.speed_ms,
        "buildable": entry.buildable,
        "downloaded": is_fetched(entry),
        "directory": str(model_directory(entry)),
        "address": entry.address,
    }


def _json(value) -> str:
    import json

    return json.dumps(value, indent=1)


def _text(value) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _print_table(entries) -> None:
    from rich.console import Console
    from rich.table import Table

    columns = {
        "name": "name",
        "size": "input_size",
        "mAP": "box_map",
        "kpt": "keypoint_map",
        "ms": "speed_ms",
        "build": "buildable",
        "here": "downloaded",
    }
    # The longest name and these columns just fit into a terminal's 80.
    table = Table(box=None, padding=(0, 1, 0, 0))
    for heading, key in columns.items():
        number = key in ("input_size", "box_map", "keypoint_map", "speed_ms")
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    for row in map(_row, entries):
        table.add_row(*(_text(row[key]) for key in columns.values()))
    Console().print(table)
    click.echo("mAP and kpt: box and keypoint mAP on COCO 2017 in percent; ms: milliseconds an image;")
    click.echo("both as the zoo publishes them. build: detkit can build it; here: no download needed.")
