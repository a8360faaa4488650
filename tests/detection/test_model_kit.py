"""What holds of every architecture, whatever its family."""

from __future__ import annotations

import json
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf
from model_configs import ARCHITECTURES, config
from model_kit import batch, draw_weights, eagerly, outputs, over, pictures, registered, small_config, values
from reference_weights import digest, shapes

from detkit.checkpoint.surgery import select
from detkit.detection.build import build
from detkit.detection.detector import TUNE
from detkit.detection.load import load, save, transplant
from detkit.pipeline import od_config
from detkit.pipeline.settings import TrainConfig
from detkit.training.optimization import Optimization
from detkit.training.selection import choose
from detkit.zoo import entries
from detkit.zoo.source import locate

HASHED = json.loads((Path(__file__).parent / "manifests.json").read_text())
SETTINGS = TrainConfig(steps=2, learning_rate=1e-3, augment="none", ema=None, optimizer="momentum")


@pytest.fixture(scope="module")
def built(request):
    """A small detector; tests leave it as it is."""
    return build(small_config(request.param), name=request.param)


@pytest.fixture(scope="module")
def model(built):
    """The same with drawn weights."""
    return draw_weights(built)


@pytest.fixture(scope="module")
def directory(model, tmp_path_factory):
    """Where that detector is saved."""
    folder = tmp_path_factory.mktemp("models") / model.name
    save(model, folder)
    return folder


# What it is made of


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_configs_here_are_those_of_the_zoo(shared, name):
    ours, theirs = config(name), od_config.read(shared / "golden" / "configs" / f"{name}.config")
    assert leaves(ours.model) == leaves(theirs.model)


def leaves(message, path: str = "model") -> dict:
    """{path: value} of a typed message; numbers as the OD API stores them."""
    if hasattr(message, "__dataclass_fields__"):
        inner = [leaves(getattr(message, name), f"{path}.{name}") for name in message.__dataclass_fields__]
    elif isinstance(message, tuple):
        inner = [leaves(value, f"{path}.{number}") for number, value in enumerate(message)]
    else:
        return {path: float(np.float32(message)) if isinstance(message, float) else message}
    return {key: value for part in inner for key, value in part.items()}


def test_the_catalogue_names_these_architectures():
    named = {entry.name for entry in entries() if entry.buildable and not entry.bundled}
    # A second reading of one zoo model, which has no archive of its own.
    assert named == set(ARCHITECTURES) - {"centernet_mobilenetv2fpn_512x512_od__densefpn"}


# Where a model's own config says something else than the zoo's page.
OTHER_SIZES = {"ssd_mobilenet_v2_320x320": (300, 300), "efficientdet_d6": (1408, 1408)}


@pytest.mark.parametrize("entry", [entry for entry in entries() if entry.name in ARCHITECTURES], ids=attrgetter("name"))
def test_the_catalogue_says_what_the_config_says(entry):
    read = config(entry.name)
    model = od_config.meta_architecture(read)
    resizer = model.image_resizer.fixed_shape_resizer or model.image_resizer.keep_aspect_ratio_resizer
    assert registered(read)
    assert entry.classes == model.num_classes
    assert tuple(vars(resizer).values())[:2] == OTHER_SIZES.get(entry.name, entry.input_size)
    tasks = getattr(model, "keypoint_estimation_task", ())
    assert (entry.keypoint_map is not None) == bool(tasks)
    assert (entry.mask_map is not None) == (getattr(model, "number_of_stages", 2) == 3)


@over("variables", ARCHITECTURES)
def test_keys_and_shapes_are_those_of_the_zoo(built):
    expected = HASHED[built.name]
    assert len(shapes(built)) == expected["variables"]
    assert digest(shapes(built)) == expected["sha256"]


@over("variables")
def test_every_variable_belongs_to_one_part(built):
    in_parts = [id(layer) for layers in built.parts.values() for layer in layers]
    assert len(in_parts) == len(set(in_parts))
    assert set(in_parts) == {id(layer) for layer in built.nodes.values()}
    assert set(built.parts) <= set(TUNE["all"])
    assert built.part_of().keys() == built.variables().keys()


@over("variables")
def test_stages_follow_the_order_of_the_parts(built):
    staged = [id(layer) for stage in built.stages for layer in stage.layers]
    assert len(staged) == len(set(staged))
    seams = [choose(built, word).seam for word in ("all", "neck", "towers", "heads")]
    assert seams == sorted(seams) and seams[0] == 0 < seams[-1]


# What it computes


@pytest.fixture(scope="module")
def found(model):
    """The detections in a batch of pictures of several sizes."""
    with eagerly():
        return model.detect(pictures())


@over("forward")
def test_raw_outputs_are_finite_and_differ_from_picture_to_picture(model):
    for name, value in outputs(model).items():
        assert np.isfinite(value).all(), name
        if value.dtype == np.float32 and len(value) == 2:
            assert value.std() > 0 and not np.array_equal(value[0], value[1]), name


@over("forward")
def test_detections_are_boxes_inside_the_picture_by_falling_score(model, found):
    for each, picture in zip(found, pictures(), strict=True):
        assert each.size == picture.shape[:2]
        assert len(each) > 0
        assert (np.diff(each.scores) <= 0).all() and each.scores[0] <= 1
        assert (each.boxes >= 0).all() and (each.boxes <= 1).all()
        assert set(each.class_ids.tolist()) <= set(range(len(model.classes)))


@over("forward")
def test_masks_and_keypoints_come_from_the_models_that_have_them(model, found):
    count = len(found[0])
    masks, keypoints = found[0].masks, found[0].keypoints
    assert (masks is not None) == ("head/mask_head" in model.parts)
    assert (keypoints is not None) == ("head/keypoint_head" in model.parts)
    if masks is not None:
        assert len(masks) == count and masks.ndim == 3 and 0 <= masks.min() < masks.max() <= 1
    if keypoints is not None:
        assert keypoints.shape == (count, 17, 2) and found[0].keypoint_scores.shape == (count, 17)
        assert np.isfinite(keypoints).all()


@over("forward")
def test_a_batch_gives_what_its_pictures_give_one_by_one(model, found):
    with eagerly():
        for whole, picture in zip(found[1:], pictures()[1:], strict=True):
            assert same(model.detect(picture)[0], whole)


def same(found, expected) -> bool:
    """Whether two detections hold the same objects; those with near-equal scores may swap places."""
    far = np.abs(found.boxes[:, None] - expected.boxes).max(axis=2) > 1e-4
    far |= np.abs(found.scores[:, None] - expected.scores) > 1e-4
    far |= found.class_ids[:, None] != expected.class_ids
    partners = scipy.optimize.linear_sum_assignment(far)
    return len(found) == len(expected) and not far[partners].any()


# Training


@pytest.fixture(scope="module")
def whole_losses(model):
    """The losses of a batch through the whole network, {name: number}."""
    return losses_of(model)


def losses_of(detector) -> dict:
    inputs, true_shapes, truth = batch(detector)
    return numbers(detector.loss(detector.predict(inputs, true_shapes), truth))


def numbers(losses: dict) -> dict:
    assert all(loss.shape == () for loss in losses.values())
    return {name: float(value) for name, value in losses.items()}


@over("training")
def test_losses_have_names_that_say_what_they_are(model, whole_losses):
    assert np.isfinite(list(whole_losses.values())).all()
    assert all(any(word in name for word in ("localization", "classification", "loss")) for name in whole_losses)


@over("training")
@pytest.mark.parametrize("word", TUNE)
def test_the_loss_from_a_seam_is_that_of_the_whole_network(model, whole_losses, word):
    seam = choose(model, word).seam
    record = model.record(model.run(model.training_state(*batch(model)), 0, seam), seam)
    # Pictures that come in another order, as the cache gathers them.
    swapped = {name: tf.gather(value, [1, 0]) for name, value in record.items()}
    assert numbers(model.record_loss(swapped, seam)) == pytest.approx(whole_losses, rel=1e-4, abs=1e-6)


# Files


@pytest.fixture(scope="module")
def loaded(directory):
    """The detector, saved and loaded; tests leave it as it is."""
    return load(directory)


@over("training")
def test_a_saved_model_is_loaded_as_it_was(model, loaded):
    before, after = values(model), values(loaded)
    assert loaded.classes == model.classes and before.keys() == after.keys()
    assert [path for path in before if not np.array_equal(before[path], after[path])] == []


@over("training")
def test_a_loaded_model_compiled_finds_what_the_saved_one_found(loaded, found):
    for before, after in zip(found, loaded.detect(pictures()), strict=True):
        assert same(after, before)


@over("training")
@pytest.mark.parametrize("word", ["heads", "all"])
def test_a_step_lowers_the_loss_and_moves_what_is_tuned(loaded, word):
    selection, before = choose(loaded, word), values(loaded)
    optimization = Optimization(loaded, selection, SETTINGS)
    start = optimization.state()
    optimization.set_learning_rate(SETTINGS.learning_rate)
    state = loaded.run(loaded.training_state(*batch(loaded)), 0, selection.seam)
    record = loaded.record(state, selection.seam)
    with eagerly():
        first = float(optimization.step(record)["loss"])
    after = sum(numbers(loaded.record_loss(record, selection.seam)).values())
    moved = {path for path, value in values(loaded).items() if not np.array_equal(value, before[path])}
    optimization.restore(start)
    assert after < first
    assert moved and moved <= set(selection.paths)


# Other classes


@over("training")
def test_other_classes_keep_all_but_what_depends_on_them(model, directory):
    changed, report = transplant(locate(directory), ("duck", "boat", "tree"))
    assert report.explained and set(report.restored) | set(report.reset) == set(changed.variables())
    fresh = set(report.reset)
    assert fresh <= set(select("head/class_head", model.part_of())) | set(model.class_columns())
    before, after = values(model), values(changed)
    # No class of these has keypoints, so a model of keypoints loses their heads.
    dropped = {path for path in before if "keypoint" in path}
    assert before.keys() - after.keys() == dropped
    kept = [path for path in after if path not in fresh and path not in model.class_columns()]
    assert kept and [path for path in kept if not np.array_equal(before[path], after[path])] == []
    resized = {path for path in after if before[path].shape != after[path].shape}
    assert resized == set(changed.class_columns())
    assert np.isfinite(list(losses_of(changed).values())).all()


@over("training")
def test_kept_classes_score_as_before(model, directory):
    wider, report = transplant(locate(directory), ("duck",), keep_classes=True)
    assert report.explained and wider.classes == (*model.classes, "duck")
    one, other = outputs(model), outputs(wider)
    widened = [name for name in one if one[name].shape != other[name].shape]
    assert widened
    for name in widened:
        axis = next(i for i, n in enumerate(one[name].shape) if n != other[name].shape[i])
        first = np.take(other[name], np.arange(one[name].shape[axis]), axis)
        assert np.abs(first - one[name]).max() <= 1e-5 * max(1.0, np.abs(one[name]).max()), name
