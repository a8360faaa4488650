"""DeepLabV3 of Model Garden behind detkit's verbs: the same numbers, losses, surgery, storage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from small_segmenters import NAME, SHAPES, TINY, dataset, descend, gardens_own, overrides_of, stirred, values

import detkit
from detkit import models
from detkit.data.batches import Views
from detkit.errors import ConfigError
from detkit.garden import load
from detkit.pipeline import pipeline as pipelines
from detkit.pipeline import yaml_format
from detkit.pipeline.transfer import SegmentationModel
from detkit.training.cache import Prefix


@pytest.fixture(scope="module")
def overrides(tmp_path_factory):
    path = tmp_path_factory.mktemp("overrides") / "tiny.yaml"
    path.write_text(yaml_format.dumps(overrides_of(**TINY)))
    return path


@pytest.fixture(scope="module")
def pascal(overrides):
    return stirred(detkit.load(NAME, config=overrides))


@pytest.fixture(scope="module")
def shapes(overrides, pascal, tmp_path_factory):
    """A model for other classes on the weights of the one for Pascal VOC; tests change its weights."""
    folder = tmp_path_factory.mktemp("trainer")
    saved = tf.train.Checkpoint(model=pascal.model, **pascal.model.checkpoint_items).save(str(folder / "ckpt"))
    options = SegmentationModel(name=NAME, config=str(overrides), checkpoint=saved, size=32)
    return models.build("segmentation", options, SHAPES)


@pytest.mark.parametrize("size", [(40, 56), (33, 71), (1, 30)])
def test_logits_are_those_of_model_garden_at_the_size_of_the_image(pascal, size):
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    inputs, _ = pascal.preprocess([image])
    ours, theirs = pascal.forward(inputs)["logits"].numpy(), gardens_own(pascal, inputs)
    assert ours.shape[1:] == (*inputs.shape[1:3], 21)
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())
    (found,) = pascal.segment(image)
    np.testing.assert_array_equal(found.class_map, theirs[0, : size[0], : size[1]].argmax(-1))
    assert found.classes[14] == "person"


def test_the_loss_is_model_gardens_own_or_one_of_detkits(pascal):
    shapes = dataset(3, pascal.classes[:2])
    views = Views(shapes, pascal.resized, None, 0, pascal.wants)
    inputs, sizes, truth = pascal.batch([views.view(number, 0) for number in range(3)])
    assert (truth["semantic"].numpy() == 255).any()
    state = pascal.run(pascal.training_state(inputs, sizes, truth))
    labels = {"masks": tf.cast(truth["semantic"], tf.float32)[..., None]}
    theirs = pascal.garden_task.build_losses(labels, {"logits": state["scores"]})
    assert float(pascal.losses(state)["cross_entropy_loss"]) == pytest.approx(float(theirs), rel=1e-6)
    before = pascal.options
    try:
        pascal.options = replace(before, loss=("cross_entropy", "dice"))
        ours = pascal.losses(state)
    finally:
        pascal.options = before
    assert float(ours["cross_entropy_loss"]) == pytest.approx(float(theirs), rel=1e-5)
    assert 0 < float(ours["dice_loss"]) < 1


def test_other_classes_start_afresh_and_everything_else_is_kept_bit_by_bit(pascal, shapes):
    assert (shapes.classes, shapes.description.columns, shapes.pretrained) == (SHAPES, 3, True)
    known, new = values(pascal), values(shapes)
    head = {path for path, part in shapes.part_of().items() if part == "head/class_head"}
    assert head == {"head/_classifier/kernel", "head/_classifier/bias"}
    assert all(np.array_equal(known[path], new[path]) for path in known.keys() - head)
    assert new["head/_classifier/kernel"].shape[-1] == 3
    assert "head/class_head   reset" in shapes.weights_text


@pytest.mark.slow
def test_cached_records_give_the_same_loss_at_every_seam(shapes):
    views = Views(dataset(3), shapes.resized, None, 0, shapes.wants)
    some = [views.view(number, 0) for number in range(3)]
    losses = [shapes.record_loss(Prefix(shapes, seam).records(some), seam) for seam in range(3)]
    first, *others = (float(each["cross_entropy_loss"]) for each in losses)
    assert others == [first, first]


def test_steps_lower_the_loss_the_same_way_every_time(shapes):
    first, second = descend(shapes, 4, runs=2)
    shapes.freeze_batch_norm(True)
    assert first[-1] < first[0]
    assert first == second


def test_saved_models_load_again_and_in_model_garden(shapes, tmp_path):
    models.save(shapes, tmp_path)
    again = detkit.load(tmp_path)
    assert (again.task, again.classes, again.options.size) == ("segmentation", SHAPES, (32, 32))
    ours, stored = values(shapes), values(again)
    assert all(np.array_equal(ours[path], stored[path]) for path in ours)
    again.initialize(again.variables(), 7)  # now a model as Model Garden builds it, with other weights
    for layout in (tf.train.Checkpoint(**again.model.checkpoint_items), tf.train.Checkpoint(model=again.model)):
        layout.read(str(tmp_path / "checkpoint" / "ckpt-0")).assert_existing_objects_matched().expect_partial()
        restored = values(again)
        assert all(np.array_equal(ours[path], restored[path]) for path in ours)
        again.initialize(again.variables(), 7)


# What is refused


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"encoder": "VGG16"}, r"don't have this option(.|\n)*model.encoder"),
        ({"name": "garden:mnv2_deeplab_pascal"}, "Did you mean mnv2_deeplabv3_pascal"),
        ({"name": "garden:retinanet"}, r"one for detection(.|\n)*Set task: detection"),
        ({"class_weights": (1.0, 2.0)}, "weights of the classes"),
        ({"config": overrides_of(decoder={"aspp": {"dropout_rate": 0.5}})}, r"dropout_rate(.|\n)*model.dropout"),
        ({"config": {"task": {"losses": {"use_binary_cross_entropy": True}}}}, "a pixel has one class"),
        ({"config": overrides_of(head={"levle": 3})}, "Did you mean level"),
        ({"config": overrides_of(head={"feature_fusion": "pyramid_fusion"})}, "images of one size"),
        ({"name": "unet", "config": overrides_of()}, "Only the models of Model Garden"),
        ({"name": "runs/nothing"}, "There is no such segmenter"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, text):
    with pytest.raises(ConfigError, match=text):
        models.build("segmentation", SegmentationModel(**({"name": NAME} | options)), SHAPES)


def test_a_pipeline_for_detection_and_the_words_of_detectors_are_refused(tmp_path):
    pipeline = pipelines.Pipeline(model=NAME, output=str(tmp_path / "run"))
    with pytest.raises(ConfigError, match=r"one for segmentation(.|\n)*Set task: segmentation"):
        load.transplant(pipeline.model, SHAPES)
    with pytest.raises(ConfigError, match=r"Segmenters don't have this option(.|\n)*strategy"):
        detkit.finetune(NAME, dataset(), output=tmp_path / "run", tune="heads")


def test_names_of_architectures_are_checked():
    with pytest.raises(ConfigError, match="Did you mean segnet"):
        SegmentationModel(name="segnett")
