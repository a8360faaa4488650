"""Directories as the OD API's users have them: where the config, the label map and the checkpoint are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from detkit.checkpoint.reader import find_prefix
from detkit.errors import ConfigError
from detkit.zoo.source import locate

MODEL = """model { %s {
  num_classes: %d
  image_resizer { fixed_shape_resizer { height: 96 width: 128 } }
  feature_extractor { type: "any" }
} }
train_config {
  fine_tune_checkpoint: "/gone/pretrained/ckpt-0" fine_tune_checkpoint_type: "%s" fine_tune_checkpoint_version: V2
}
"""
DUCKS = 'item { id: 1 name: "duck" }\nitem { id: 2 name: "boat" }\n'
GRAPH = 'node { name: "x" op: "Placeholder" }\n'


def training_run(folder: Path, readers: str = "", family="ssd", kind="detection", classes=2, **files: str) -> Path:
    """What model_main_tf2.py leaves behind, with the files beside it; "__" stands for a dot in their names."""
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "events.out.tfevents.1600000000.host").write_bytes(b"\0")
    (folder / "pipeline.config").write_text(MODEL % (family, classes, kind) + readers)
    for number in (1, 2, 10):
        for end in ("index", "data-00000-of-00001"):
            (folder / f"ckpt-{number}.{end}").write_bytes(b"")
    state = [f'all_model_checkpoint_paths: "/home/someone/run/ckpt-{number}"' for number in (1, 2)]
    (folder / "checkpoint").write_text("\n".join(['model_checkpoint_path: "/home/someone/run/ckpt-2"', *state]))
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def reader(path: str, role: str = "train_input_reader") -> str:
    return f'{role} {{ label_map_path: "{path}" tf_record_input_reader {{ input_path: "/gone/train.record" }} }}\n'


@pytest.mark.parametrize("kind", ["detection", "classification", "full", "fine_tune", ""])
@pytest.mark.parametrize("family", ["ssd", "faster_rcnn", "center_net"])
def test_a_training_run_whatever_it_started_from(tmp_path, family, kind):
    folder = training_run(tmp_path / "my_run", reader("/gone/ducks.pbtxt"), family, kind, ducks__pbtxt=DUCKS)
    source = locate(folder)
    assert (source.name, source.classes, source.label_ids) == ("my_run", ("duck", "boat"), (1, 2))
    assert source.checkpoint == folder
    assert getattr(source.config.model, family).image_resizer.fixed_shape_resizer.width == 128


@pytest.mark.parametrize(
    "readers",
    [
        reader("/gone/annotations/ducks.txt"),
        reader("C:\\\\data\\\\ducks.txt"),
        reader("annotations/ducks.txt", "eval_input_reader"),
        reader("PATH_TO_BE_CONFIGURED/other.txt") + reader("/gone/ducks.txt", "eval_input_reader"),
    ],
    ids=["moved", "from Windows", "of the evaluation", "of the second reader"],
)
def test_a_label_map_beside_the_config_that_is_named_there(tmp_path, readers):
    folder = training_run(tmp_path / "run", readers, ducks__txt=DUCKS, aaa__pbtxt=GRAPH)
    assert locate(folder).classes == ("duck", "boat")


def test_a_label_map_where_the_config_says(tmp_path):
    (tmp_path / "far.pbtxt").write_text(DUCKS)
    folder = training_run(
        tmp_path / "run", reader(str(tmp_path / "far.pbtxt")), aaa__pbtxt='item { id: 1 name: "cat" }'
    )
    assert locate(folder).classes == ("duck", "boat")


def test_a_label_map_that_nobody_names(tmp_path):
    many = "\n".join(f'item {{ id: {i} name: "keypoint class {i}" }}' for i in range(1, 91))
    files = {"graph__pbtxt": GRAPH, "many__pbtxt": many, "objects__pbtxt": DUCKS}
    assert locate(training_run(tmp_path / "run", **files)).classes == ("duck", "boat")


def test_no_label_map(tmp_path):
    assert locate(training_run(tmp_path / "few")).classes == ("class 1", "class 2")
    of_coco = locate(training_run(tmp_path / "coco", reader("PATH_TO_BE_CONFIGURED/label_map.txt"), classes=90))
    assert of_coco.classes[:2] == ("person", "bicycle") and of_coco.classes[-1] == "toothbrush"


def test_a_named_label_map_must_fit(tmp_path):
    folder = training_run(tmp_path / "run", reader("/gone/ducks.pbtxt"), classes=1, ducks__pbtxt=DUCKS)
    with pytest.raises(ConfigError) as error:
        locate(folder)
    assert "id beyond the config's num_classes" in str(error.value) and "got: id 2 (boat)" in str(error.value)


def test_the_checkpoint_that_the_state_file_names(tmp_path):
    assert find_prefix(training_run(tmp_path / "run")).name == "ckpt-2"


def test_the_highest_number_where_the_named_one_is_gone(tmp_path):
    folder = training_run(tmp_path / "run")
    (folder / "ckpt-2.index").unlink()
    assert find_prefix(folder).name == "ckpt-10"


def test_an_exported_model(tmp_path):
    folder = training_run(tmp_path / "exported", saved__pbtxt=DUCKS)
    (folder / "checkpoint").unlink()
    inside = [folder / name for name in ("checkpoint", "saved_model", "saved_model/variables", "saved_model/assets")]
    for each in inside:
        each.mkdir()
    for stem in ("checkpoint/ckpt-0", "saved_model/variables/variables"):
        for end in ("index", "data-00000-of-00001"):
            (folder / f"{stem}.{end}").write_bytes(b"")
    (folder / "saved_model" / "saved_model.pb").write_bytes(b"")
    source = locate(folder)
    assert source.classes == ("duck", "boat")
    assert find_prefix(source.checkpoint) == folder / "checkpoint" / "ckpt-0"
