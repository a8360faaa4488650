"""detkit demo"""

from __future__ import annotations

from pathlib import Path

import click


@click.command(epilog="Example:  detkit demo --output demo")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), default="detkit-demo",
    help="Directory for the results.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, help="Draws other photos, and trains in another order.")
def demo(output: Path, seed: int) -> None:
    """Do the whole job once, offline, in about a minute.

    Draws five photos of an object and a short clip, trains a detector on the photos, measures it, and writes
    the clip with the detections drawn on it.
    """
    from detkit import api

    click.echo(api.demo(output, seed))
