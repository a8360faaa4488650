"""detkit data check"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

EXAMPLES = """
\b
Examples:
  detkit data check train.json
  detkit data check train.json test.json                     also what is in both
  detkit data check yolo/data.yaml                           all its splits, and what is in several
  detkit data check voc/ --model hands                       what is small for this model
  detkit data check train.json --fix repaired/               writes repaired/train.json and a log of the changes
  detkit data check train.json --json > problems.json

\b
Exit codes:
  0  there are no errors; warnings and notes don't count
  1  there are errors, with --fix in the repaired copy
  2  the data can't be read, or the repaired copy not be written
"""


@click.command(epilog=EXAMPLES)
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("others", type=click.Path(path_type=Path), nargs=-1, metavar="[OTHER]...")
@click.option("--format", "-f", "format_", metavar="NAME", help="The format; told by the content by default.")
@click.option("--images", type=click.Path(path_type=Path), metavar="DIR", help="The pictures, if elsewhere.")
@click.option("--split", metavar="NAME", help="Only this split of DATA; all by default.")
@click.option("--model", metavar="NAME", help="Call objects small by the input size of this model; 320 by default.")
@click.option("--fix", type=click.Path(path_type=Path), metavar="DIR", help="Write a repaired copy of DATA there.")
@click.option("--json", "as_json", is_flag=True, help="Print all problems as JSON.")
def check(data, others, format_, images, split, model, fix, as_json):
    """Find everything that is wrong with annotated pictures, in one pass, and say what to do about it.

    Of several datasets, or of one with several splits, also what one tells of another: the same pictures in both,
    classes that only one has.

    --fix writes a copy in the same format in which all is put right that needs no decision, and in changes.json
    and changes.txt what that was; nothing is changed in place. What is printed then is what remains.
    """
    from detkit.data import checks, read
    from detkit.data.problems import format_problems
    from detkit.data.repairs import repair, summary
    from detkit.preflight import input_size

    options = {"split": split} if split else {}
    size = input_size(model) if model else checks.INPUT_SIZE
    more = [named for other in others for named in checks.opened(other, format_, images, str(other))]
    changes = []
    if fix:
        repaired, changes = repair(data, fix, format_, images, **options)
        sets = [(repaired.name, repaired)]
    elif split:
        sets = [(split, read(data, format_, images, strict=False, split=split))]
    else:
        sets = checks.opened(data, format_, images)
    problems = checks.check_all(sets + more, size)
    if as_json:
        click.echo(_json(problems, changes))
    else:
        click.echo((summary(changes, fix) + "\n" if fix else "") + format_problems(problems))
    if any(problem.severity == "error" for problem in problems):
        raise click.exceptions.Exit(1)


def _json(problems, changes) -> str:
    content = {"problems": problems, "changes": changes}
    return json.dumps({name: [asdict(each) for each in found] for name, found in content.items()})
