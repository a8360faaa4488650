"""The command line with a `detkit.api` that needs no model."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

import detkit
from detkit.cli import main


@pytest.fixture
def api(monkeypatch):
    """Stands for detkit.api: a test sets the functions that its command should call."""
    fake = SimpleNamespace(predict=None, evaluate=None)
    monkeypatch.setitem(sys.modules, "detkit.api", fake)
    monkeypatch.setattr(detkit, "api", fake, raising=False)
    return fake


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs `detkit ARGUMENTS` in an empty directory; the result has exit_code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    return lambda *arguments: CliRunner().invoke(main, [str(a) for a in arguments], prog_name="detkit")
