"""The command line as a whole: help, imports, exit codes, and what an error looks like."""

from __future__ import annotations

import importlib.metadata
import os
import signal
import subprocess
import sys

import pytest

from detkit.cli import COMMANDS
from detkit.errors import DataError

HEAVY = ("tensorflow", "keras", "matplotlib", "av", "cv2", "rich", "PIL", "pycocotools")


def python(code: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)


def test_help_names_every_command(run):
    result = run("--help")
    assert result.exit_code == 0
    assert all(f"  {command} " in result.stdout for command in COMMANDS)
    assert "detkit demo" in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_explains_it(run, command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"Usage: detkit {command}" in result.stdout
    assert command == "zoo" or "Example" in result.stdout


@pytest.mark.parametrize("arguments", [[], ["--help"], *([command, "--help"] for command in COMMANDS)])
def test_help_imports_nothing_heavy(arguments):
    code = f"""
import sys
from detkit.cli import main
main(sys.argv[1:], standalone_mode=False) if sys.argv[1:] else None
print("loaded:", [name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""
    done = python(code, *arguments)
    assert done.stderr.strip().endswith("loaded: []"), done.stderr


def test_package_imports_nothing_heavy():
    done = python(f"import detkit, sys; print([name for name in {HEAVY} if name in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr


def test_version(run):
    try:
        version = importlib.metadata.version("detkit")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("detkit is not installed")
    assert run("--version").stdout == f"detkit {version}\n"


def test_unknown_command(run):
    result = run("predcit")
    assert result.exit_code == 2 and "No such command 'predcit'" in result.stderr


def test_a_detkit_error_is_a_message_and_exit_code_2(run, api):
    def refuse(*arguments, **options):
        raise DataError("The boxes are swapped.", where="a.json", fix="Swap them.")

    api.load = refuse
    result = run("predict", "hands", "photo.jpg")
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr == "Error: The boxes are swapped.\n  where: a.json\n  fix: Swap them.\n"


def test_debug_shows_the_traceback_of_a_detkit_error(run, api):
    def refuse(*arguments, **options):
        raise DataError("The boxes are swapped.")

    api.load = refuse
    result = run("--debug", "predict", "hands", "photo.jpg")
    assert result.exit_code == 2
    assert "Traceback (most recent call last)" in result.stderr and "in refuse" in result.stderr


def test_any_other_exception_is_called_a_bug(run, api, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["detkit", "predict", "hands", "my photo.jpg"])
    api.load = lambda model: {}["nothing"]
    result = run("predict", "hands", "my photo.jpg")
    assert result.exit_code == 1 and "Traceback" not in result.stderr
    assert "KeyError: 'nothing'" in result.stderr and "This is a bug in detkit" in result.stderr
    assert "`detkit --debug predict hands 'my photo.jpg'`" in result.stderr


def test_debug_shows_the_traceback_of_a_bug(run, api):
    api.load = lambda model: {}["nothing"]
    result = run("--debug", "predict", "hands", "photo.jpg")
    assert result.exit_code == 1 and "Traceback (most recent call last)" in result.stderr


def test_interrupt_in_a_command(run, api):
    def interrupted(model):
        raise KeyboardInterrupt

    api.load = interrupted
    result = run("predict", "hands", "photo.jpg")
    assert result.exit_code == 130 and result.stderr.strip() == "Interrupted."


@pytest.mark.parametrize("options, level", [([], "3"), (["--debug"], None)])
def test_tensorflow_is_silenced_unless_debugging(run, api, options, level):
    levels = []
    api.demo = lambda output, seed: levels.append(os.environ.get("TF_CPP_MIN_LOG_LEVEL")) or "done"
    assert run(*options, "demo").exit_code == 0
    assert levels == [level]


def test_an_own_tensorflow_log_level_is_kept(run, api, monkeypatch):
    levels = []
    api.demo = lambda output, seed: levels.append(os.environ["TF_CPP_MIN_LOG_LEVEL"]) or "done"
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "1")
    run("demo")
    assert levels == ["1"]


ENDLESS = """
import signal, sys, types, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
import detkit
from detkit.detections import Detections
from detkit.inference.predict import predict

class Slow:
    classes = ("hand",)
    def detect(self, images, batch_size, threshold):
        print("started", flush=True)
        time.sleep(0.1)
        return [Detections([[0, 0, 1, 1]], [1], [0], self.classes, image.shape[:2]) for image in images]

detkit.api = types.SimpleNamespace(load=lambda model: Slow(), predict=predict)
sys.modules["detkit.api"] = detkit.api
from detkit.cli import main
main()
"""


def test_ctrl_c_leaves_a_whole_file_of_what_was_done(tmp_path):
    import av
    from PIL import Image

    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(400):
        Image.new("RGB", (32, 32)).save(folder / f"{i}.png")
    arguments = ["predict", "hands", str(folder), "-o", str(tmp_path / "out/a.mp4"), "--batch-size", "1"]
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for _ in range(5):
            assert process.stdout.readline() == "started\n"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and errors == ""
    assert "interrupted: the outputs hold what was done so far" in output and "a.mp4" in output
    with av.open(str(tmp_path / "out/a.mp4")) as container:
        assert 0 < sum(1 for _ in container.decode(video=0)) < 400
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.mp4"]


def test_a_closed_pipe_is_no_error():
    code = """
import sys, types
import detkit
detkit.api = types.SimpleNamespace(demo=lambda output, seed: "line\\n" * 200_000)
sys.modules["detkit.api"] = detkit.api
from detkit.cli import main
main(["demo"])
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
