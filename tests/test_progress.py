"""The progress bar: what it shows, and that it leaves the terminal as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from detkit.progress import progress

ROOT = Path(__file__).resolve().parents[1]


def test_it_is_silent_without_a_terminal(capsys):
    with progress(total=2, description="train") as bar:
        bar.update(1, loss=0.5)
    assert list(progress([1, 2], description="detect")) == [1, 2]
    assert capsys.readouterr() == ("", "")


def test_shown_without_a_terminal_it_is_one_plain_line_with_the_last_state(capsys):
    with progress(total=200, description="train [x]", show=True) as bar:
        bar.update(1, loss=0.5)
        bar.update(3, loss=0.123456, images=8, rate="9.1 step/s")
    out, error = capsys.readouterr()
    assert out == ""
    assert "\x1b" not in error
    for part in ("train [x]", "4/200", "9.1 step/s", "0:00", "loss=0.1235", "images=8"):
        assert part in error


def test_an_iterable_counts_itself(capsys):
    assert list(progress(range(3), show=True)) == [0, 1, 2]
    assert "3/3" in capsys.readouterr().err


def test_an_iterator_has_no_total(capsys):
    assert list(progress(iter("ab"), show=True)) == ["a", "b"]
    assert "2/?" in capsys.readouterr().err


def test_bars_inside_bars_vanish_when_done(capsys):
    with progress(total=2, description="outer", show=True) as bar:
        for _ in range(2):
            assert list(progress("abc", description="inner", show=True)) == ["a", "b", "c"]
            bar.update()
    error = capsys.readouterr().err
    assert "outer" in error and "2/2" in error
    assert "inner" not in error


def test_bars_may_close_in_any_order(capsys):
    first, second = progress(total=1, show=True), progress(total=1, show=True)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.update()
    second.__exit__(None, None, None)
    assert list(progress("a", description="third", show=True)) == ["a"]
    assert "third" in capsys.readouterr().err


def test_updates_after_the_end_do_nothing(capsys):
    with progress(total=1, show=True) as bar:
        pass
    capsys.readouterr()
    bar.update(loss=1.0)
    assert capsys.readouterr() == ("", "")


def test_an_error_in_the_loop_ends_the_bar_and_passes(capsys):
    with pytest.raises(ZeroDivisionError):
        for item in progress([1, 0], description="broken", show=True):
            1 / item
    assert "broken" in capsys.readouterr().err
    assert list(progress("a", description="next", show=True)) == ["a"]
    assert "next" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
@pytest.mark.parametrize("ending", ["pass", "raise KeyboardInterrupt", "raise ValueError"])
def test_the_cursor_comes_back_on_a_terminal(ending):
    """The last of hide cursor / show cursor is show; results on a piped stdout stay there."""
    script = (
        "from detkit.progress import progress\n"
        "for n in progress(range(3), description='detect'):\n"
        "    print('result', n)\n"
        f"    if n == 2: {ending}\n"
    )
    master, slave = os.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    child = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=slave, env=environment
    )
    os.close(slave)
    terminal = os.read(master, 65536).decode()
    os.close(master)
    assert "detect" in terminal
    assert terminal.rfind("\x1b[?25h") > terminal.rfind("\x1b[?25l") >= 0
    assert child.stdout.decode().splitlines() == ["result 0", "result 1", "result 2"]
