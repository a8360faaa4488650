"""`detkit predict --resume` killed again and again: what comes out equals what an uninterrupted run writes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from same_files import same

pytestmark = pytest.mark.slow
COMMAND = [sys.executable, "-c", "from detkit.cli import main; main()", "predict", "hands"]


def grown(journal: Path) -> int:
    return sum(path.stat().st_size for path in journal.glob("*.detections"))


def run_and_kill(command: list[str], journal: Path) -> bool:
    """Runs a command until its journal has grown by some batches, and kills it; whether it lived that long."""
    before = grown(journal)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and grown(journal) < before + 4000:
        time.sleep(0.02)
    process.kill()
    return process.wait() == -signal.SIGKILL


def test_a_run_killed_twice_writes_what_an_uninterrupted_one_writes(shared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    videos = [str(shared / f"data/video/{name}.mp4") for name in ("one-by-one-person-detection", "bottle-detection")]
    options = ["--start", "24", "--stop", "30", "--track", "--threshold", "0.2", "--zone", "0,0,1,0,1,1,0,1"]
    subprocess.run([*COMMAND, *videos, "-o", "one/", "--json", "one.json", *options], check=True)
    command = [*COMMAND, *videos, "-o", "two/", "--json", "two.json", "--resume", *options]
    kills = sum(run_and_kill(command, Path("two.json.journal")) for _ in range(2))
    assert kills == 2 and not Path("two.json").exists()
    subprocess.run(command, check=True)
    assert len(json.loads(Path("one.json").read_text())) > 10
    assert Path("one.json").read_bytes() == Path("two.json").read_bytes()
    names = sorted(path.name for path in Path("one").iterdir())
    assert len(names) == 2 and names == sorted(path.name for path in Path("two").iterdir())
    for name in names:
        assert same(Path("one", name).read_bytes(), Path("two", name).read_bytes(), name)
    assert not Path("two.json.journal").exists()
