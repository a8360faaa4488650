"""Segmentation models of Model Garden: all architectures, checkpoints of every kind, training from end to end."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from small_segmenters import (
    NAME,
    SHAPES,
    TINY,
    batch_of,
    dataset,
    descend,
    gardens_own,
    overrides_of,
    picture,
    stirred,
    values,
)

import detkit
from detkit import models
from detkit.api import inspect
from detkit.cli import main
from detkit.data import images
from detkit.errors import CheckpointError, ConfigError
from detkit.pipeline import yaml_format
from detkit.pipeline.transfer import SegmentationModel

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def overrides(tmp_path_factory):
    path = tmp_path_factory.mktemp("overrides") / "tiny.yaml"
    path.write_text(yaml_format.dumps(overrides_of(**TINY)))
    return path


@pytest.fixture(scope="module")
def pascal(overrides):
    return stirred(detkit.load(NAME, config=overrides))


OTHERS = {
    "mnv2_deeplabv3plus_cityscapes": {
        "num_classes": 19,
        "backbone": {"mobilenet": {"filter_size_scale": 0.35}},
        "decoder": {"aspp": {"num_filters": 16, "pool_kernel_size": [64, 96]}},
        "head": {"num_filters": 16, "low_level_num_filters": 8},
    },
    "seg_deeplabv3plus_pascal": {
        "backbone": {"dilated_resnet": {"model_id": 50}},
        "decoder": {"aspp": {"num_filters": 16, "dilation_rates": [2]}},
        "head": {"num_filters": 16},
    },
    "seg_resnetfpn_pascal": {
        "max_level": 5,
        "backbone": {"resnet": {"model_id": 10, "depth_multiplier": 0.25}},
        "decoder": {"fpn": {"num_filters": 16}},
        "head": {"num_convs": 1, "num_filters": 16},
    },
    "semantic_segmentation": {
        "num_classes": 3,
        "backbone": {"resnet": {"model_id": 10, "depth_multiplier": 0.25}},
        "head": {"num_filters": 16},
    },
}


@pytest.mark.parametrize("name", OTHERS)
def test_every_architecture_gives_its_own_logits_and_learns(name):
    options = {"name": f"garden:{name}", "size": 32}
    segmenter = stirred(detkit.load(f"garden:{name}", config=overrides_of(**OTHERS[name])))
    inputs, _ = segmenter.preprocess([picture(0, (39, 70)).pixels()])
    ours, theirs = segmenter.forward(inputs)["logits"].numpy(), gardens_own(segmenter, inputs)
    if name.endswith("cityscapes"):
        assert (ours[..., 0] < -1000).all()  # it never says background
        ours = ours[..., 1:]
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())
    assert theirs.std() > 0.01
    small = models.build("segmentation", SegmentationModel(**options, config=overrides_of(**OTHERS[name])), SHAPES)
    (losses,) = descend(small, 4)
    assert losses[-1] < losses[0]


def test_a_model_without_a_background_ignores_it_when_it_is_trained_on():
    config = overrides_of(**OTHERS["mnv2_deeplabv3plus_cityscapes"])
    cityscapes = stirred(detkit.load("garden:mnv2_deeplabv3plus_cityscapes", config=config))
    assert (cityscapes.classes[0], cityscapes.columns_of_classes[0], cityscapes.input_size) == ("road", 0, (256, 256))
    (found,) = cityscapes.segment(picture(0).pixels())
    assert found.class_map.min() > 0
    state = cityscapes.run(cityscapes.training_state(*batch_of(cityscapes, 2)))
    for loss in (None, ("cross_entropy",)):
        cityscapes.options = replace(cityscapes.options, loss=loss)
        before = float(cityscapes.losses(state)["cross_entropy_loss"])
        truth = state["truth/semantic"]
        ignored = state | {"truth/semantic": tf.where(truth == 0, tf.constant(255, tf.uint8), truth)}
        assert float(cityscapes.losses(ignored)["cross_entropy_loss"]) == before
        assert np.isfinite(before)


def test_columns_that_no_class_has_are_background(overrides, pascal, tmp_path):
    config = tmp_path / "some.yaml"
    config.write_text(overrides.read_text())
    (tmp_path / "label_map.pbtxt").write_text('item { id: 15 name: "person" } item { id: 8 name: "cat" }')
    models.save_checkpoint(pascal, tmp_path / "checkpoint")
    some = detkit.load(NAME, checkpoint=tmp_path / "checkpoint", config=config)
    assert some.classes == ("person", "cat")
    inputs, _ = some.preprocess([picture(0).pixels()])
    everything, own = (tf.nn.softmax(each.forward(inputs)["logits"]).numpy() for each in (pascal, some))
    np.testing.assert_allclose(own[..., 1:], everything[..., [15, 8]], atol=1e-5)
    np.testing.assert_allclose(own.sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize("kept", [("backbone",), ("backbone", "decoder")])
def test_some_modules_of_a_checkpoint_are_enough(overrides, pascal, tmp_path, kept):
    saved = tf.train.Checkpoint(model=pascal.model).save(str(tmp_path / "ckpt"))
    values_of = yaml_format.loads(overrides.read_text(), "")[0]
    values_of["task"] |= {"init_checkpoint": saved, "init_checkpoint_modules": list(kept)}
    options = SegmentationModel(name=NAME, config=values_of)
    new, known = models.build("segmentation", options, SHAPES), values(pascal)
    assert new.pretrained
    restored = {path for path, value in values(new).items() if np.array_equal(value, known[path])}
    assert restored >= {path for path in known if path.startswith(kept)}
    assert "head/_classifier/kernel" not in restored
    values_of["task"]["init_checkpoint_modules"] = ["bakcbone"]
    with pytest.raises(ConfigError, match="Did you mean backbone"):
        models.build("segmentation", replace(options, config=values_of), SHAPES)


def test_checkpoints_that_do_not_fit_are_refused(overrides, pascal, tmp_path):
    with pytest.raises(CheckpointError):
        detkit.load(NAME, checkpoint=tmp_path / "nothing", config=overrides)
    models.save_checkpoint(pascal, tmp_path / "whole")
    with pytest.raises(CheckpointError, match=r"does not fit the model(.|\n)*class count differs"):
        detkit.load(NAME, checkpoint=tmp_path / "whole", config=overrides_of(**TINY | {"num_classes": 5}))
    wider = TINY | {"decoder": {"aspp": {"num_filters": 24, "dilation_rates": [2]}}}
    with pytest.raises(CheckpointError, match=r"shape mismatch(.|\n)*decoder"):
        detkit.load(NAME, checkpoint=tmp_path / "whole", config=overrides_of(**wider))
    data = next((tmp_path / "whole").glob("*.data-*"))
    data.write_bytes(data.read_bytes()[:2000])
    with pytest.raises(CheckpointError):
        detkit.load(NAME, checkpoint=tmp_path / "whole", config=overrides)


def trained(overrides, output, checkpoint=None, **train):
    options = {"steps": 4, "batch_size": 3, "learning_rate": 0.003, "augment": None, "seed": 1} | train
    return detkit.finetune(
        NAME, dataset(), None, dataset(2), output=output, config=overrides, checkpoint=checkpoint,
        show_progress=False, **options,
    )  # fmt: skip


def test_finetune_makes_a_segmenter_that_is_a_run(overrides, tmp_path):
    run = trained(overrides, tmp_path / "run", steps=12)
    assert run.history[-1]["loss"] < 0.7 * run.history[0]["loss"]
    assert "every weight starts afresh" in (run.directory / "log.txt").read_text()
    again = detkit.load(run.directory)
    assert detkit.evaluate(again, dataset(2)).numbers["IoU"] == pytest.approx(run.metrics["iou"], abs=1e-6)
    assert "segmentation: garden:mnv2_deeplabv3_pascal" in inspect(run.directory)
    # And on from there, the same classes: nothing starts afresh.
    on = detkit.finetune(
        str(run.directory), dataset(), output=tmp_path / "on", steps=2, batch_size=2, show_progress=False,
        strategy="two_stage", finetune_steps=2, unfreeze=0.2,
    )  # fmt: skip
    log = (on.directory / "log.txt").read_text()
    assert "reset" not in log
    assert "tune the head x1 and the backbone from backbone/layer_with_weights-1" in log


def test_the_same_seed_gives_the_same_weights_with_a_cache_and_without(overrides, pascal, tmp_path):
    models.save_checkpoint(pascal, tmp_path / "checkpoint")
    runs = [
        trained(overrides, tmp_path / name, tmp_path / "checkpoint", cache=cache, strategy="head")
        for name, cache in (("a", "on"), ("b", "off"), ("c", "off"))
    ]
    assert "cache: 1 views of each photo" in (tmp_path / "a" / "log.txt").read_text()
    first, *others = (values(run.model) for run in runs)
    for other in others:
        assert all(np.array_equal(first[path], other[path]) for path in first)
    known = values(pascal)
    assert all(np.array_equal(first[path], known[path]) for path in known if path.startswith("backbone/"))


def test_pictures_and_tiles_are_predicted_and_explained(overrides, tmp_path):
    options = SegmentationModel(name=NAME, config=str(overrides), max_side=48, size=32)
    small = stirred(models.build("segmentation", options, SHAPES))
    models.save(small, tmp_path / "run")
    (tmp_path / "in").mkdir()
    photos = {"photo": picture(0).pixels(), "line": np.zeros((1, 90, 3), np.uint8), "deep": np.full((9, 8), 999, "u2")}
    for name, pixels in photos.items():
        cv2.imwrite(str(tmp_path / "in" / f"{name}.png"), pixels)
    paths = [str(tmp_path / name) for name in ("run", "in", "out")]
    done = CliRunner().invoke(main, ["predict", *paths[:2], "--output", paths[2]])
    assert done.exit_code == 0, done.output
    for name, pixels in photos.items():
        assert images.decode(tmp_path / "out" / f"{name}.mask.png").shape[:2] == pixels.shape[:2]
    again = detkit.load(tmp_path / "run")
    again.options = replace(again.options, tile=(32, 32))
    (found,) = again.segment(photos["photo"])
    assert found.class_map.shape == (40, 56)
    seen = small.segment(photos["photo"])[0].labels[0]
    explained = detkit.explain(small, photos["photo"], method="grad-cam", class_name=seen, layer="decoder")
    assert np.isfinite(explained.explanations[0].maps["grad-cam"]).all()
