"""Fine-tuning of Model Garden's Mask, Faster and Cascade R-CNN by detkit's own loop."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import detkit
from detkit.data import Dataset
from detkit.data.synthesis import boats
from detkit.errors import ConfigError, DataError
from detkit.garden import load

pytestmark = pytest.mark.slow

MASKS, BOXES = "garden:maskrcnn_resnetfpn_coco", "garden:fasterrcnn_resnetfpn_coco"
CASCADE = "garden:cascadercnn_spinenet_coco"
TINY = {
    "num_classes": 4,
    "input_size": [96, 128, 3],
    "min_level": 3,
    "max_level": 5,
    "anchor": {"anchor_size": 3.0, "num_scales": 1},
    "backbone": {"type": "resnet", "resnet": {"model_id": 10, "depth_multiplier": 0.25}},
    "decoder": {"type": "fpn", "fpn": {"num_filters": 16}},
    "rpn_head": {"num_filters": 16},
    "roi_generator": {
        **{"pre_nms_top_k": 100, "num_proposals": 60},
        **{"test_pre_nms_top_k": 50, "test_num_proposals": 20},
    },
    "roi_sampler": {"num_sampled_rois": 24},
    "detection_head": {"num_convs": 1, "num_filters": 16, "fc_dims": 32},
    "norm_activation": {"norm_momentum": 0.9},
}
HEAD = {
    "mask_head": {"num_convs": 1, "num_filters": 8},
    "mask_sampler": {"num_sampled_masks": 6},
    "mask_roi_aligner": {"crop_size": 7},
}
SCRATCH = {
    **{"steps": 25, "batch_size": 3, "learning_rate": 0.003, "tune": "all", "freeze_batch_norm": False},
    **{"augment": None, "ema": None, "validate_every": None},
}
# With as many views as a photo is seen, the cached run sees the very views of the uncached one, and draws as it does.
CACHED = {"steps": 2, "batch_size": 3, "views": 2, "augment": {"flip": 0.5}, "ema": None, "validate_every": None}


def overrides(**changes):
    """Options of the model, in Model Garden's layout."""
    parser = {"rpn_batch_size_per_im": 24, "mask_crop_size": 28}
    return {"task": {"model": copy.deepcopy(TINY | changes), "train_data": {"parser": parser}}}


def cascade():
    """Options of a model with three heads, which must not tell boxes of classes apart."""
    return overrides(**HEAD, detection_head=TINY["detection_head"] | {"class_agnostic_bbox_pred": True})


def outlined(dataset):
    """The dataset with an outline of each object: a rhombus in its box."""

    def of(example):
        y, x, bottom, right = (example.boxes * np.tile(example.size, 2)).T
        middle, centre = (y + bottom) / 2, (x + right) / 2
        corners = np.stack([centre, y, right, middle, centre, bottom, x, middle], axis=1)
        return [[outline.tolist()] for outline in corners]

    fields = ("image", "boxes", "class_ids", "size")
    examples = [
        detkit.data.Example(*(getattr(example, name) for name in fields), segmentations=tuple(of(example)))
        for example in dataset
    ]
    return Dataset(tuple(examples), dataset.classes)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return boats.few_shot_set(tmp_path_factory.mktemp("photos"), train=3, test=1, size=(96, 128))


@pytest.fixture(scope="module")
def known(photos, tmp_path_factory):
    """A run from scratch, for all of the network."""
    output = tmp_path_factory.mktemp("runs") / "scratch"
    return detkit.finetune(MASKS, outlined(photos[0]), config=overrides(**HEAD), output=output, **SCRATCH)


def values(detector):
    return {path: variable.numpy() for path, variable in detector.variables().items()}


def test_training_from_scratch_lowers_the_loss(known):
    assert np.mean([row["loss"] for row in known.history[-3:]]) < known.history[0]["loss"] * 0.7
    parts = {"rpn_localization", "rpn_classification", "localization", "classification", "mask_loss"}
    assert all(row[name] > 0 for row in known.history for name in parts)
    assert parts == known.history[0].keys() - {"step", "loss", "gradient_norm", "learning_rate"}
    # All that these options say is read: nothing is left for Model Garden's trainer.
    assert "only Model Garden's trainer reads" not in (known.directory / "log.txt").read_text()


def test_a_run_is_a_model_directory_that_draws_masks(known, photos):
    again = detkit.load(known.directory)
    ours, stored = values(known.detector), values(again)
    assert all(np.array_equal(ours[path], stored[path]) for path in ours)
    assert again.classes == ("toy_boat",)
    metrics = detkit.evaluate(again, outlined(photos[0]))
    assert set(metrics) >= {"AP", "AP50", "mask_AP", "mask_AP50"}


def test_the_cache_changes_nothing_but_the_time(known, photos, tmp_path):
    """For two classes; what is not tuned stays as it was, at either seam."""
    data = outlined(photos[0]).with_classes(("toy_boat", "rock"))
    before = values(known.detector)
    for tune, kept in (("heads", {"backbone", "neck", "head/towers"}), ("towers", {"backbone", "neck"})):
        options = {"tune": tune} | CACHED
        runs = {
            cache: detkit.finetune(str(known.directory), data, output=tmp_path / tune / cache, cache=cache, **options)
            for cache in ("on", "off")
        }
        cached, plain = (values(run.detector) for run in runs.values())
        columns, parts = runs["on"].detector.class_columns(), runs["on"].detector.part_of()
        for path, value in cached.items():
            np.testing.assert_allclose(value, plain[path], atol=1e-6, err_msg=path)
        assert all(np.array_equal(cached[path], before[path]) for path in cached if parts[path] in kept)
        whole = [path for path in cached if path not in columns]  # with as many columns as before
        changed = {parts[path] for path in whole if not np.array_equal(cached[path], before[path])}
        assert changed == ({"head/mask_head"} if tune == "heads" else {"head/mask_head", "head/towers"})
        assert cached["detection_head/0/_classifier/kernel"].shape[-1] == 3
        assert cached["detection_head/0/_box_regressor/kernel"].shape[-1] == 12
        assert cached["mask_head/_mask_regressor/kernel"].shape[-1] == 3


def test_a_dataset_without_masks_says_what_to_do(photos, tmp_path):
    with pytest.raises(DataError, match="has no masks") as error:
        detkit.finetune(MASKS, photos[0], config=overrides(**HEAD), output=tmp_path / "run", **SCRATCH)
    assert "include_mask: false" in str(error.value)
    options = SCRATCH | {"steps": 2, "batch_size": 2}
    run = detkit.finetune(MASKS, photos[0], config=overrides(include_mask=False), output=tmp_path / "run", **options)
    assert "mask_loss" not in run.history[0]
    assert run.detector.wants == ()


def test_a_faster_rcnn_learns_the_same_every_time(photos, tmp_path):
    """A batch of one, too, which Model Garden's operations treat in their own way."""
    options = SCRATCH | {"steps": 4, "batch_size": 1}
    runs = [
        detkit.finetune(BOXES, photos[0], config=overrides(), output=tmp_path / name, **options) for name in ("a", "b")
    ]
    one, other = (values(run.detector) for run in runs)
    assert all(np.array_equal(one[path], other[path]) for path in one)


def test_a_cascade_learns(photos, tmp_path):
    """Every head on what the one before it found, by rising thresholds."""
    config, options = cascade(), SCRATCH | {"steps": 12}
    run = detkit.finetune(CASCADE, outlined(photos[0]), config=config, output=tmp_path / "run", **options)
    assert run.history[-1]["loss"] < run.history[0]["loss"]
    thresholds = [sampler.get_config()["foreground_iou_threshold"] for sampler in run.detector.model.roi_sampler]
    assert thresholds == [0.5, 0.6, 0.7]
    trained, fresh = values(run.detector), values(load.load(CASCADE, config=config))
    for head in range(3):
        path = f"detection_head/{head}/_fcs/0/kernel"
        assert not np.array_equal(trained[path], fresh[path])


def test_a_cascade_is_cached_before_its_heads(photos, tmp_path):
    config, data = cascade(), outlined(photos[0])
    options = {"tune": "towers"} | CACHED
    runs = [
        detkit.finetune(CASCADE, data, config=config, output=tmp_path / cache, cache=cache, **options)
        for cache in ("on", "off")
    ]
    cached, plain = (values(run.detector) for run in runs)
    for path, value in cached.items():
        np.testing.assert_allclose(value, plain[path], atol=1e-6, err_msg=path)


def test_a_photo_without_objects_is_background(photos, tmp_path):
    empty = detkit.data.Example(photos[0][0].image, np.zeros((0, 4)), [], photos[0][0].size)
    data = Dataset((photos[0][0], empty), photos[0].classes)
    run = detkit.finetune(BOXES, data, config=overrides(), output=tmp_path / "run", **SCRATCH | {"steps": 2})
    assert all(np.isfinite(row["loss"]) for row in run.history)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"norm_activation": {"activation": "no_such"}}, "task.model"),
        ({"roi_sampler": {"cascade_iou_thresholds": [0.6, 0.7, 0.8]}}, "cascade_iou_thresholds"),
        ({"include_mask": True}, "task.model.mask_head"),
        ({"detection_generator": {"apply_nms": False}}, "apply_nms"),
        ({"detection_head": {"fc_dim": 3}}, "fc_dims"),
    ],
)
def test_what_can_not_be_built_says_where(changes, where):
    with pytest.raises(ConfigError) as error:
        load.load(BOXES, config=overrides(**changes))
    assert where in str(error.value)


def test_weights_of_classes_are_as_many_as_columns(photos, tmp_path):
    config = overrides()
    config["task"]["losses"] = {"class_weights": [1.0, 2.0, 2.0, 2.0]}
    with pytest.raises(ConfigError, match="class_weights") as error:
        detkit.finetune(BOXES, photos[0], config=config, output=tmp_path / "run", **SCRATCH)
    assert "each of 2 columns" in str(error.value)
