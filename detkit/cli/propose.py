"""detkit propose"""

from __future__ import annotations

from pathlib import Path

import click

EXAMPLES = """
\b
Examples:
  detkit propose photos/train.json --picture quality.png
  detkit propose photo.jpg --picture proposals.png --draw 30
  detkit propose photos/*.jpg --json proposals.json
"""


@click.command(epilog=EXAMPLES)
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DATA|IMAGE...")
@click.option("--mode", type=click.Choice(["single", "fast", "quality"]), default="fast",
              help="How many segmentations to group: more objects are found, and it takes longer.")  # fmt: skip
@click.option("--seed", type=int, default=0, help="Of the order, in which chance has a part.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the numbers, or the boxes, here.")
@click.option("--picture", type=click.Path(path_type=Path),
              help="Draw the curves, or the images with their first proposals, into this file.")  # fmt: skip
@click.option("--draw", type=click.IntRange(1), default=20, help="Proposals to draw on an image.")
def propose(sources, mode: str, seed: int, json_file: Path | None, picture: Path | None, draw: int) -> None:
    """Find boxes where something may be, by selective search.

    DATA is a COCO JSON file or a Pascal VOC folder: what share of its objects the proposals cover, and how tightly.
    For IMAGEs, the proposals themselves: boxes as ymin, xmin, ymax, xmax of 0 to 1.
    """
    from functools import partial

    from detkit.baselines import selective_search
    from detkit.data.images import EXTENSIONS

    run = partial(selective_search.propose, mode=mode, seed=seed)
    if all(source.suffix.lower() in EXTENSIONS for source in sources):
        result = _of_images(sources, run, picture, draw)
    else:
        result = _of_data(sources, run, picture)
    if json_file:
        from detkit.io import write_json

        write_json(json_file, result)
    for path in filter(None, (picture, json_file)):
        click.echo(f"Wrote {path}.")


def _of_data(sources, run, picture):
    from detkit.baselines.quality import measure
    from detkit.data import read

    if len(sources) != 1:
        raise click.UsageError("Give one set of data, or images only.")
    quality = measure(read(sources[0]), run)
    click.echo(quality.table())
    if picture:
        quality.draw(picture)
    return quality.to_json()


def _of_images(sources, run, picture, count: int) -> list[dict]:
    from detkit.data.images import decode

    rows, drawn = [], []
    for source in sources:
        image = decode(source)
        boxes = run(image)
        click.echo(f"{source}: {len(boxes)} proposals")
        rows.append({"image": str(source), "boxes": boxes.tolist()})
        if picture:
            drawn.append(_drawn(image, boxes[:count]))
    if picture:
        from detkit.visualize.sheet import contact_sheet, save

        save(drawn[0] if len(drawn) == 1 else contact_sheet(drawn), picture)
    return rows


def _drawn(image, boxes):
    import numpy as np

    from detkit.detections import Detections
    from detkit.visualize.draw import draw

    # Each its own colour, the first on top.
    ids, scores = np.arange(len(boxes)), np.linspace(1, 0, len(boxes))
    found = Detections(boxes, scores, ids, tuple(map(str, ids)), image.shape[:2])
    return draw(image, found, labels=False, scores=False)
