"""Loading the model that a command names."""

from __future__ import annotations

import click


def load(model: str):
    """As `detkit.load`, with a warning for a model whose weights are random."""
    from detkit import api

    loaded = api.load(model)
    if getattr(loaded, "untrained", False):
        click.echo(f"Warning: The weights of {model} are random: no checkpoint is named. Train it first.", err=True)
    return loaded
