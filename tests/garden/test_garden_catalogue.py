"""The experiments by name: what is said of each, and that none of it needs Model Garden."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner

from detkit.cli import main
from detkit.errors import ConfigError
from detkit.garden import catalogue


def test_names_are_unique_and_each_family_has_its_modules():
    names = [entry.name for entry in catalogue.EXPERIMENTS]
    assert len(set(names)) == len(names)
    assert all(entry.module and entry.task_module for entry in catalogue.EXPERIMENTS)
    assert {entry.state for entry in catalogue.EXPERIMENTS} == {"trains", "runs", "builds"}


def test_a_misspelled_name_gets_the_nearest_one():
    with pytest.raises(ConfigError, match="Did you mean retinanet_mobile_coco?"):
        catalogue.find("retinanet_mobil_coco")


@pytest.mark.parametrize(
    ("state", "training", "message"),
    [("builds", False, "detkit has no bridge to DETR"), ("runs", True, "detkit does not train Faster R-CNN")],
)
def test_what_does_not_work_says_so_and_what_does(state, training, message):
    entry = next(e for e in catalogue.EXPERIMENTS if e.state == state and e.family in ("DETR", "Faster R-CNN"))
    with pytest.raises(ConfigError, match=message) as error:
        entry.check(training)
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
        assert entry.note in done.output
    assert "34.1" in done.output  # retinanet_resnetfpn_coco, in millions


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
def test_detkits_own_family_loads_nothing_of_model_garden():
    code = "import detkit, numpy; detkit.load('hands').detect(numpy.zeros((64, 64, 3), numpy.uint8))"
    modules = loaded(code)
    assert "tensorflow" in modules
    assert modules & {"tf_keras", "official"} == set()


@pytest.mark.slow
@pytest.mark.parametrize("entry", [e for e in catalogue.EXPERIMENTS if e.parameters], ids=lambda entry: entry.name)
def test_parameters_sizes_and_columns_are_those_of_the_model(entry):
    from detkit.garden import build

    config = build.experiment(entry.name, {})
    assert (tuple(config.task.model.input_size[:2]), config.task.model.num_classes) == (entry.size, entry.columns)
    _, model = build.build(entry.name, config)
    assert sum(math.prod(variable.shape) for variable in model.trainable_variables) == entry.parameters
