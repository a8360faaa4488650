"""What can be wrong with a dataset, as records that can be listed, printed and raised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from detkit.errors import DataError

SEVERITIES = ("error", "warning", "info")
_RAISED = 20  # problems spelled out in one exception


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, or worth knowing, about a dataset.

    Attributes:
        severity: "error" (can't be used as it is), "warning" (used, after a change) or "info".
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
    """Problems as text for a terminal: the severest first, then a line of totals.

    Example:
        >>> print(format_problems([]))
        No problems found.
    """
    if not problems:
        return "No problems found."
    ordered = sorted(problems, key=lambda problem: SEVERITIES.index(problem.severity))
    counts = {severity: sum(p.severity == severity for p in problems) for severity in SEVERITIES}
    totals = ", ".join(f"{n} {name}{'s' * (n != 1 and name != 'info')}" for name, n in counts.items() if n)
    return "\n".join(map(str, ordered)) + f"\n{totals}"
