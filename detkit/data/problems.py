"""What can be wrong with a dataset, as records that can be listed, printed and raised."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from detkit.errors import DataError, DetkitError

SEVERITIES = ("error", "warning", "info")
_RAISED = 20  # problems spelled out in one exception
_SHOWN = 10  # problems of a kind spelled out in a terminal


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, or worth knowing, about a dataset.

    Attributes:
        severity: "error" (can't be used as it is), "warning" (likely wrong, or used after a change) or "info".
        what: one sentence.
        file: the annotation file.
        image: the picture.
        box: the number of the box in its image, counting from 0 in the file's order.
        got: what was found.
        expected: what would have been right.
        fix: what to do next.
    """

    severity: str
    what: str
    file: str | None = None
    image: str | None = None
    box: int | None = None
    got: str | None = None
    expected: str | None = None
    fix: str | None = None

    def details(self) -> dict:
        """The parts of a DetkitError's message: where, got, expected and fix."""
        return dict(where=self.where or None, got=self.got, expected=self.expected, fix=self.fix)

    @property
    def where(self) -> str:
        """File, image and box in one line."""
        box = "" if self.box is None else f"box {self.box}"
        return ", ".join(str(part) for part in (self.file, self.image, box) if part)

    def __str__(self) -> str:
        text = f"{self.severity}: {self.what}"
        for name, value in self.details().items():
            text += "" if value is None else f"\n  {name}: {value}"
        return text


def problem_of(error: DetkitError, severity: str = "error", **place) -> Problem:
    """The problem that an exception tells of; `place` are the fields `file`, `image` and `box`, if they are known."""
    given = {"file": error.where} if not place else {}
    given |= {name: getattr(error, name) for name in ("got", "expected", "fix")}
    return Problem(severity, error.what, **{k: v if v is None else str(v) for k, v in given.items()}, **place)


def kind_of(problem: Problem) -> str:
    """What problems of the same kind have in common: what is wrong, whatever the numbers in it."""
    return re.sub(r"\d+(\.\d+)?", "N", f"{problem.severity}: {problem.what}")


def refuse(problems: Sequence[Problem], source) -> None:
    """Raise one DataError that lists all problems of severity "error", if there are any."""
    errors = [problem for problem in problems if problem.severity == "error"]
    if len(errors) == 1:
        raise DataError(errors[0].what, **errors[0].details())
    if errors:
        lines = [str(problem).removeprefix("error: ").replace("\n", "\n  ") for problem in errors[:_RAISED]]
        more = [f"... and {len(errors) - _RAISED} more."] if len(errors) > _RAISED else []
        raise DataError(
            f"There are {len(errors)} problems in this dataset.\n" + "\n".join(f"- {line}" for line in lines + more),
            where=source,
            fix="Correct them in the annotation; detkit.data.check lists all of them, "
            "and detkit.data.read(..., strict=False) leaves out what can't be used.",
        )


def format_problems(problems: Sequence[Problem]) -> str:
    """Problems as text for a terminal: the severest first, the first ten of a kind, then a line of totals.

    Example:
        >>> print(format_problems([]))
        No problems found.
    """
    if not problems:
        return "No problems found."
    ordered = sorted(problems, key=lambda problem: SEVERITIES.index(problem.severity))
    totals, seen, lines = Counter(map(kind_of, problems)), Counter(), []
    for problem in ordered:
        kind = kind_of(problem)
        seen[kind] += 1
        if seen[kind] <= _SHOWN:
            lines.append(str(problem))
        if seen[kind] == _SHOWN < totals[kind]:
            lines.append(f"... and {totals[kind] - _SHOWN} more like these.")
    text = "\n".join([*lines, _totals(problems)])
    return text.encode("utf-8", "backslashreplace").decode()  # file names may hold what a terminal can't show


def _totals(problems: Sequence[Problem]) -> str:
    counts = Counter(problem.severity for problem in problems)
    names = {name: name + "s" * (counts[name] != 1 and name != "info") for name in SEVERITIES}
    return ", ".join(f"{counts[name]} {names[name]}" for name in SEVERITIES if counts[name])
