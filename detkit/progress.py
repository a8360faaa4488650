"""One progress bar on stderr, for loops and for steps counted by hand."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator


def progress(
    iterable: Iterable | None = None,
    total: int | None = None,
    description: str = "",
    show: bool | None = None,
) -> Bar:
    """A progress bar, as a context manager or around an iterable.

    Args:
        iterable: what to loop over; its length is the total where it has one.
        total: the number of steps; None shows a bar without an end.
        description: the words before the bar.
        show: True shows the bar also where stderr is no terminal (once, when it ends), False never;
            None shows it on terminals only.

    Example:
        >>> for item in progress(range(3), description="detect"):
        ...     pass
        >>> with progress(total=200, description="train") as bar:
        ...     bar.update(1, loss=0.12, rate="9.1 step/s")
    """
    return Bar(iterable, total, description, show)


class Bar:
    """The bar that `progress` makes; bars opened while another is live are drawn below it."""

    _live = None  # the rich display of the outermost open bar

    def __init__(self, iterable: Iterable | None, total: int | None, description: str, show: bool | None):
        if total is None and hasattr(iterable, "__len__"):
            total = len(iterable)
        self._iterable, self._total, self._description = iterable, total, description
        self._show = sys.stderr.isatty() if show is None else show
        self._display = self._task = None
        self._shown: dict[str, str] = {}

    def __enter__(self) -> Bar:
        if self._show:
            self._outermost = Bar._live is None
            self._display = Bar._live = Bar._live or _start_display()
            self._task = self._display.add_task(self._description, total=self._total, shown=self._shown)
        return self

    def __exit__(self, *exception) -> None:
        if self._display is None:
            return
        # Stopping the display gives the cursor and the terminal's streams back, whatever ended the loop.
        if self._outermost:
            Bar._live = None
            self._display.stop()
        else:
            self._display.remove_task(self._task)
        self._display = None

    def __iter__(self) -> Iterator:
        with self:
            for item in self._iterable:
                yield item
                self.update()

    def update(self, n: int = 1, **fields) -> None:
        """Advances by `n` steps and shows the fields, e.g. `loss=0.12`; earlier fields stay."""
        if self._display is not None:
            self._shown.update({name: _text(value) for name, value in fields.items()})
            self._display.update(self._task, advance=n)


def _start_display():
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    display = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        _column(_rate),
        _column(_clock),
        _column(_fields),
        console=Console(stderr=True),
        # A piped stdout carries results: rich would move them to stderr.
        redirect_stdout=sys.stdout.isatty(),
    )
    display.start()
    return display


def _column(render):
    """A rich column of the text that `render(task)` gives."""
    from rich.progress import ProgressColumn
    from rich.text import Text

    class Column(ProgressColumn):
        def render(self, task):
            return Text(render(task))

    return Column()


def _rate(task) -> str:
    given = task.fields["shown"].get("rate")
    speed = task.finished_speed or task.speed
    return given or (f"{speed:.3g}/s" if speed else "")


def _clock(task) -> str:
    elapsed = _duration(task.finished_time or task.elapsed or 0)
    left = "" if task.finished or task.time_remaining is None else f" < {_duration(task.time_remaining)}"
    return elapsed + left


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _fields(task) -> str:
    return "  ".join(f"{name}={value}" for name, value in task.fields["shown"].items() if name != "rate")


def _text(value) -> str:
    return str(value) if isinstance(value, (str, int)) else f"{float(value):.4g}"
