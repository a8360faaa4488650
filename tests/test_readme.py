"""README.md and docs/*.md: every command and example runs, every name and file that they mention is there.

All blocks of all pages are one story, told in one directory (`workshop`) in the order of the pages: later
steps use what earlier ones made. Steps that need TensorFlow are slow: `pytest -m slow tests/test_readme.py`.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tarfile
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from click.testing import CliRunner

import detkit
from detkit.cli import main
from detkit.pipeline import pipeline as pipelines

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Commands that .ci/run runs, to the letter.
IN_CI = (
    "python -m pip install --upgrade pip",
    "python -m pip install -c constraints.txt -e '.[test]'",
    "pytest -n 2",
)
# Enough to see that training works.
TINY = [f"--set=train.{option}" for option in ("steps=2", "batch_size=2", "views=1")]


class Step(NamedTuple):
    """A command, a piece of Python or a file (which begins with `# NAME:`) that a page shows."""

    page: str
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text.splitlines()[0]}"

    @property
    def words(self) -> list[str]:
        """The command's words, without assignments to the environment."""
        words = shlex.split(self.text, comments=True)
        return words[len(self.environment) :]

    @property
    def environment(self) -> dict[str, str]:
        words = shlex.split(self.text, comments=True)
        count = next(i for i, word in enumerate(words) if not re.match(r"[A-Z_]+=", word))
        return dict(word.split("=", 1) for word in words[:count])

    @property
    def quick(self) -> bool:
        """Whether it does without TensorFlow, and without the runs of commands that don't."""
        if self.kind != "bash":
            return self.kind == "yaml"
        checks_data = self.words[1] == "check" and self.words[2].endswith(".json")
        needs_run = any(word.startswith("runs/") for word in self.words)
        return self.words[0] == "detkit" and not needs_run and (self.words[1] in ("data", "zoo") or checks_data)


def blocks(page: Path) -> list[Step]:
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Step(page.name, text.count("\n", 0, m.start()) + 2, m[1], m[2]) for m in found]


def steps_of(block: Step) -> list[Step]:
    """The block itself, or a step for each command in it."""
    if block.kind != "bash":
        return [block]
    lines = block.text.replace("\\\n", " ").splitlines()
    return [block._replace(text=line) for line in lines if shlex.split(line, comments=True)]


BLOCKS = [block for page in PAGES for block in blocks(page)]
STEPS = [step for block in BLOCKS for step in steps_of(block)]
COMMANDS = [step for step in STEPS if step.kind == "bash"]
DETKIT = [step for step in COMMANDS if step.words[0] == "detkit"]
EXAMPLES = [step for step in STEPS if step.kind == "python"]


def prose(page: Path) -> str:
    """A page without its blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def in_line_commands() -> list[str]:
    spans = [span for page in PAGES for span in re.findall(r"`(detkit [^`]+)`", prose(page))]
    return sorted(set(spans))


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Path:
    """The directory in which the pages' commands find what they name."""
    from PIL import Image

    from detkit.data.synthesis import boats
    from detkit.inference.sources import Frame
    from detkit.inference.video_sink import video

    folder = tmp_path_factory.mktemp("workshop")
    for name in ("photos", "ducky"):
        boats.few_shot_set(folder / name, train=3, test=2, size=(120, 160))
    shutil.copy(folder / "ducky/test.json", folder / "ducky/test_reflections_ignored.json")
    Image.open(folder / "photos/test/test_00.jpg").save(folder / "photo.jpg")
    with video(folder / "walk.mp4", Fraction(10)) as write:
        for index, (picture, _) in enumerate(boats.clip(frames=4, size=(120, 160))):
            write(Frame(folder / "walk.mp4", picture, index, Fraction(index, 10)), None, picture)
    shutil.copytree(ROOT / "pipelines", folder / "pipelines")
    shutil.copytree(ROOT / "detkit/zoo/bundled/hands", folder / "my_model")
    _archive(folder, "ssd_resnet50_v1_fpn_640x640")
    for file in (block for block in BLOCKS if block.kind == "yaml"):
        (folder / _name(file)).write_text(file.text)
    return folder


def _name(file: Step) -> str:
    return re.match(r"# ([\w.]+):", file.text)[1]


def _archive(folder: Path, name: str) -> None:
    """Puts an archive of that model into the mirror, with the bundled model's files in it."""
    entry = detkit.zoo.find(name)
    archive = folder / "mirror" / entry.archive_path
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder / "my_model/pipeline.config", f"{entry.archive}/pipeline.config")
        tar.add(folder / "my_model/weights.npz", f"{entry.archive}/checkpoint/weights.npz")


@pytest.fixture
def inside(workshop, monkeypatch) -> Path:
    """The workshop as the working directory, with an empty cache and a mirror of the zoo."""
    monkeypatch.chdir(workshop)
    monkeypatch.setenv("DETKIT_CACHE", str(workshop / "cache"))
    monkeypatch.setenv("DETKIT_ZOO", str(workshop / "mirror"))
    return workshop


def marked(step: Step):
    return pytest.param(step, id=str(step), marks=[] if step.quick else pytest.mark.slow)


@pytest.mark.parametrize("step", [marked(step) for step in STEPS if step.text.strip() not in IN_CI])
def test_step(step, inside):
    if step.kind == "yaml":
        assert pipelines.load(_name(step)).data.train
    elif step.kind == "python":
        exec(compile(re.sub(r"steps=\d+", "steps=2", step.text), str(step), "exec"), {})
    elif step.words[0] == "detkit":
        tiny = TINY if step.words[1] == "train" else []
        result = CliRunner().invoke(main, [*step.words[1:], *tiny], env=step.environment)
        assert result.exit_code == 0, result.output
    else:
        _shows_its_help(step)


def _shows_its_help(step: Step) -> None:
    """What runs for long or on data that are not here is only asked for its help."""
    command = [sys.executable, str(ROOT / step.words[1]), "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "usage" in done.stdout.lower(), done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_a_page_is_found(page):
    fences = re.findall(r"^\s*(?:```|~~~)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(fences) == 2 * len(blocks(page))


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_is_of_a_kind_that_is_tested(block):
    assert block.kind in ("bash", "python", "yaml")
    if block.kind == "yaml":
        assert re.match(r"# ([\w.]+):", block.text), "begin it with a comment: # NAME: what it is"


@pytest.mark.parametrize("step", COMMANDS, ids=str)
def test_a_command_is_one_that_is_tested(step):
    if step.text in IN_CI:
        assert step.text in (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
    elif step.words[0] == "python":
        assert (ROOT / step.words[1]).is_file() and step.words[1].startswith("benchmarks/")
    else:
        assert step.words[0] == "detkit"


@pytest.fixture
def parse(monkeypatch):
    """Parses `detkit ARGUMENTS` with the real commands, but runs none of them."""

    def disarm(command):
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                disarm(command.get_command(context, name))
        monkeypatch.setattr(command, "callback", lambda **options: None)

    for name in main.list_commands(None):
        disarm(main.get_command(click.Context(main), name))
    return lambda words: CliRunner().invoke(main, words, env={"TF_CPP_MIN_LOG_LEVEL": "3"})


@pytest.mark.parametrize("step", DETKIT, ids=str)
def test_a_command_parses(step, parse):
    result = parse(step.words[1:])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("text", in_line_commands())
def test_a_command_in_a_sentence_parses(text, parse):
    words = shlex.split(text.replace("COMMAND", "train"))[1:]
    result = parse(words if len(words) > 1 else [*words, "--help"])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("step", [step for step in DETKIT if step.words[1] == "train"], ids=str)
def test_the_options_of_a_pipeline_are_known(step, inside):
    overrides = [value for key, value in zip(step.words, step.words[1:], strict=False) if key == "--set"]
    plan = pipelines.load(step.words[2], overrides)
    assert plan.data.train and os.path.exists(plan.data.train)


@pytest.mark.parametrize("step", EXAMPLES, ids=str)
def test_the_keywords_of_an_example_exist(step):
    calls = [node for node in ast.walk(ast.parse(step.text)) if isinstance(node, ast.Call)]
    for call in (call for call in calls if ast.unparse(call.func).startswith("detkit.")):
        parameters = inspect.signature(resolve(ast.unparse(call.func))).parameters
        given = {keyword.arg for keyword in call.keywords}
        assert given <= set(parameters) or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def resolve(name: str):
    """What a dotted name stands for."""
    thing, path = detkit, "detkit"
    for part in name.split(".")[1:]:
        path = f"{path}.{part}"
        thing = getattr(thing, part) if hasattr(thing, part) else importlib.import_module(path)
    return thing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_names_on_a_page_exist(page):
    for name in re.findall(r"(?<![\w/.])detkit(?:\.[A-Za-z_]\w*)+", page.read_text(encoding="utf-8")):
        resolve(name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_files_that_a_page_names_exist(page):
    text = page.read_text(encoding="utf-8")
    links = [page.parent / link for link in re.findall(r"\]\((?!http)([^)#]+)\)", text)]
    named = re.findall(r"(?<![\w/])(?:pipelines|benchmarks|docs|tests|detkit)/[\w./-]*\w", prose(page))
    words = [word for step in COMMANDS if step.page == page.name for word in step.words]
    commanded = [word for word in words if word.startswith(("pipelines/", "benchmarks/"))]
    paths = [*links, *(ROOT / name for name in dict.fromkeys((*named, *commanded)))]
    assert [str(path) for path in paths if not path.exists()] == []


def test_the_page_of_options_is_up_to_date():
    expected = runpy.run_path(str(ROOT / "docs/options.py"))["page"]()
    assert (ROOT / "docs/options.md").read_text(encoding="utf-8") == expected, "run `python docs/options.py`"


def test_nothing_is_left_to_be_measured():
    pages = [*PAGES, *(ROOT / "pipelines").iterdir()]
    gaps = [page.name for page in pages if re.search("TBM|TO BE MEASURED", page.read_text(encoding="utf-8"))]
    assert gaps == []
