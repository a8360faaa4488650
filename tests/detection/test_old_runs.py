"""A training run of the OD API, of every family, loads without a change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from model_kit import QUICK, draw_weights, small_config, values

from detkit.detection.build import build
from detkit.detection.load import load, save
from detkit.pipeline import od_config

LABEL_MAP = 'item { id: 1 name: "/m/01g317" display_name: "person" }\nitem { id: 2 name: "boat" }\n'
STARTED_FROM = {"ssd": "detection", "faster_rcnn": "classification", "center_net": "full"}


@pytest.fixture(scope="module", params=QUICK["training"])
def detector(request):
    """A small detector of two classes."""
    return draw_weights(build(small_config(request.param, num_classes=2), name=request.param))


@pytest.fixture(scope="module")
def run(detector, tmp_path_factory) -> Path:
    """Its directory after training on a machine that is no more."""
    folder = tmp_path_factory.mktemp("runs") / "my_run"
    save(detector, folder)
    for file in (folder / "checkpoint").glob("ckpt-0.*"):
        file.rename(folder / file.name.replace("ckpt-0", "ckpt-7"))
    (folder / "checkpoint" / "checkpoint").unlink()
    (folder / "checkpoint").rmdir()
    (folder / "checkpoint").write_text('model_checkpoint_path: "/gone/my_run/ckpt-7"\n')
    (folder / "label_map.pbtxt").unlink()
    (folder / "boats.pbtxt").write_text(LABEL_MAP)
    changes = {
        "train_config.fine_tune_checkpoint": "/gone/pretrained/ckpt-0",
        "train_config.fine_tune_checkpoint_type": STARTED_FROM[od_config.architecture(detector.config)],
        "train_config.fine_tune_checkpoint_version": "V2",
        "train_input_reader.label_map_path": "/gone/annotations/boats.pbtxt",
    }
    config = od_config.with_changes(od_config.read(folder / "pipeline.config"), changes)
    od_config.write(config, folder / "pipeline.config")
    return folder


def test_it_loads_with_its_own_classes_size_and_weights(detector, run):
    loaded = load(run)
    assert (loaded.name, loaded.classes, loaded.label_ids) == ("my_run", ("person", "boat"), (1, 2))
    assert loaded.input_size == detector.input_size
    before, after = values(detector), values(loaded)
    assert before.keys() == after.keys()
    assert [path for path in before if not np.array_equal(before[path], after[path])] == []
