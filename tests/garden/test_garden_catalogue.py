"""The experiments by name: what is said of each, and that none of it needs Model Garden."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement

import detkit
from detkit.cli import main
from detkit.errors import ConfigError
from detkit.garden import catalogue


def test_names_are_unique_and_each_family_has_its_modules():
    names = [entry.name for entry in catalogue.EXPERIMENTS]
    assert len(set(names)) == len(names)
    assert all(entry.module and entry.task_module for entry in catalogue.EXPERIMENTS)
    assert {entry.state for entry in catalogue.EXPERIMENTS} <= {"trains", "runs", "builds", "broken"}


def test_a_misspelled_name_gets_the_nearest_one():
    with pytest.raises(ConfigError, match="Did you mean retinanet_mobile_coco?"):
        catalogue.find("retinanet_mobil_coco")
    with pytest.raises(ConfigError, match="Did you mean MobileNetV4ConvSmall?"):
        catalogue.find("MobileNetV4ConvSmal")


@pytest.mark.parametrize(
    ("name", "training", "message"),
    [
        ("detr_coco", False, "detkit has no bridge to DETR"),
        ("fasterrcnn_resnetfpn_coco", True, "detkit does not train Faster R-CNN"),
    ],
)
def test_what_does_not_work_says_so_and_what_does(monkeypatch, name, training, message):
    monkeypatch.setattr(catalogue, "TRAINED", ("RetinaNet",))
    monkeypatch.setattr(catalogue, "RUN", ("Faster R-CNN",))
    with pytest.raises(ConfigError, match=message) as error:
        catalogue.find(name).check(training)
    assert "retinanet_mobile_coco" in str(error.value)


def test_what_is_broken_upstream_says_why():
    entry = replace(catalogue.find("retinanet_mobile_coco"), broken="It asks for a module that is not there.")
    assert entry.state == "broken"
    with pytest.raises(ConfigError, match="broken in Model Garden") as error:
        entry.check()
    assert "a module that is not there" in str(error.value)


def test_the_command_lists_every_experiment_and_what_to_know_of_it():
    done = CliRunner().invoke(main, ["garden", "list"])
    assert done.exit_code == 0, done.output
    for entry in catalogue.EXPERIMENTS:
        assert entry.name in done.output
        assert all(text in done.output for text in (entry.note, entry.broken, *entry.needs))
    assert "34.1" in done.output  # retinanet_resnetfpn_coco, in millions


def test_what_holds_for_several_experiments_is_said_once():
    lines = CliRunner().invoke(main, ["garden", "list"]).output.splitlines()
    said = [line.partition(": ")[2] for line in lines if ": " in line]
    assert len(set(said)) == len(said)


def test_the_command_lists_them_as_json():
    done = CliRunner().invoke(main, ["garden", "list", "--json"])
    rows = {row["name"]: row for row in json.loads(done.output)}
    assert rows["retinanet_mobile_coco"]["size"] == [384, 384]
    assert rows["retinanet"]["needs"] == {"task.model.num_classes": "2", "task.model.input_size": "[384, 384, 3]"}


def loaded(code: str) -> set[str]:
    """The top modules that a fresh interpreter has after some code."""
    report = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import detkit",
        "from detkit.cli import main; main(['--help'], standalone_mode=False)",
        "from detkit.cli import main; main(['garden', 'list'], standalone_mode=False)",
    ],
)
def test_nothing_of_model_garden_is_loaded_for_a_look(code):
    assert loaded(code) & {"tf_keras", "official", "tensorflow"} == set()


@pytest.mark.slow
def test_a_run_with_detkits_own_family_loads_nothing_of_model_garden(tmp_path):
    """From the data to the evaluation and a look at the result; nor tensorflow_hub, of course."""
    code = f"""
import detkit
from detkit.data.synthesis import boats
train, test = boats.few_shot_set({str(tmp_path)!r}, train=2, test=1, size=(96, 128))
options = dict(steps=1, batch_size=1, augment=None, tune="heads", cache="off", show_progress=False)
run = detkit.finetune("hands", train, test=test, output={str(tmp_path / "run")!r}, **options)
detkit.load(run.directory).detect(train[0].pixels())
"""
    modules = loaded(code)
    assert "tensorflow" in modules
    assert modules & {"tf_keras", "official", "tensorflow_models", "tensorflow_hub"} == set()


def test_installers_choose_a_setuptools_that_tensorflow_hub_can_be_imported_with():
    """It needs pkg_resources, which setuptools 82 no longer has."""
    needed = [Requirement(text) for text in importlib.metadata.requires("detkit")]
    (setuptools,) = [each for each in needed if each.name == "setuptools"]
    assert setuptools.specifier.contains("81.0.0")
    assert not setuptools.specifier.contains("82.0.0")


def test_only_one_module_imports_model_garden():
    """And that one by name, where a model of it is built; see detkit/garden/upstream.py."""
    root, forbidden = Path(detkit.__file__).parent, ("tf_keras", "official", "tensorflow_models")
    found = [
        f"{path.relative_to(root)}:{node.lineno}"
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in _imported(node)
        if name.partition(".")[0] in forbidden
    ]
    assert found == []


def _imported(node) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


@pytest.mark.slow
@pytest.mark.parametrize("entry", [e for e in catalogue.EXPERIMENTS if e.parameters], ids=lambda entry: entry.name)
def test_parameters_sizes_and_columns_are_those_of_the_model(entry):
    from detkit.garden import build

    config = build.experiment(entry.name, {})
    assert config.task.model.num_classes == entry.columns
    if entry.task == "detection":
        assert tuple(config.task.model.input_size[:2]) == entry.size
    _, model = build.build(entry.name, config)
    assert sum(math.prod(variable.shape) for variable in model.trainable_variables) == entry.parameters
