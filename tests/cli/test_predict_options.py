"""detkit predict: options made from dataclasses, the help in groups, exit codes."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from PIL import Image

from detkit.inference.options import CLASSES
from detkit.inference.summary import Summary


@pytest.fixture
def called(api):
    """How detkit.api.predict was called."""
    calls = []

    def predict(detector, sources, output, **options):
        calls.append((sources, output, options))
        return Summary(1, 2, 1.0, (Path("a.json"),), ("careful",), tuple(calls[1:]), interrupted="broken" in sources)

    api.load, api.predict = (lambda model: None), predict
    return calls


def test_every_option_has_a_flag_and_a_help_in_its_group(run):
    text = run("predict", "--help").output
    places = [text.index(cls.__doc__.splitlines()[0].rstrip(".") + ":") for cls in CLASSES]
    assert places == sorted(places) and text.index("Other options:") > places[-1]
    for cls in CLASSES:
        for field in fields(cls):
            dashed = "--" + field.name.replace("_", "-")
            assert any(flag.split("/")[0] in text for flag in field.metadata.get("flags", (dashed,)))
            assert field.metadata["help"].endswith(".")


def test_only_what_is_given_is_handed_on(run, called):
    assert run("predict", "hands", "a.mp4").exit_code == 0
    run(
        "predict",
        "hands",
        "-",
        "a b.mp4",
        "-o",
        "out/",
        "--start",
        "1:30",
        "--no-labels",
        "-c",
        "x",
        "-c",
        "y",
        "--audio",
    )
    assert run("predict", "hands", "a.mp4", "--tiles", "auto", "--batch-size", "4").exit_code == 1
    assert called.pop()[2] == {"tiles": "auto", "batch_size": 4}
    options = {"start": "1:30", "labels": False, "classes": ("x", "y"), "audio": True}
    assert called == [(("a.mp4",), None, {}), (("-", "a b.mp4"), "out/", options)]


def test_exit_codes_and_warnings(run, called):
    done = run("predict", "hands", "a.mp4")
    assert done.exit_code == 0 and done.stderr == "Warning: careful\n" and "wrote a.json" in done.stdout
    assert run("predict", "hands", "a.mp4").exit_code == 1  # something was skipped
    stopped = run("predict", "hands", "broken")
    assert stopped.exit_code == 130 and "interrupted" in stopped.stdout


@pytest.mark.parametrize("arguments", [["--stride", "two"], ["--codec", "divx"], ["--strid", "2"]])
def test_wrong_words_are_told_with_the_usage(run, called, arguments):
    done = run("predict", "hands", "a.mp4", *arguments)
    assert done.exit_code == 2 and "Usage: detkit predict" in done.stderr and called == []


def test_wrong_values_are_explained(run, api, tmp_path):
    from detkit.inference.predict import predict

    api.load, api.predict = (lambda model: None), predict
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    done = run("predict", "hands", "a.png", "--start", "soon")
    assert done.exit_code == 2 and done.stderr.startswith("Error: This is no time of a video.\n  where: --start\n")
