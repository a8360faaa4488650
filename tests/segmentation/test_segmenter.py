"""Segmenters: images of any size, training, storage, tiles, and what they refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from shapes import CLASSES, dataset, picture, small

from detkit import models
from detkit.data.batches import Views
from detkit.data.dataset import Dataset
from detkit.errors import ConfigError, DataError
from detkit.pipeline.transfer import SegmentationModel
from detkit.segmentation.build import build


@pytest.fixture(scope="module")
def segmenter():
    return small()


def views(network, count: int = 4, data=None):
    made = Views(data or dataset(count), network.resized, None, 0, network.wants)
    return [made.view(i, 0) for i in range(count)]


def descend(network, steps: int = 1, rate: float = 0.05) -> list[float]:
    """The losses before each step of plain gradient descent on one batch, and after the last."""
    network.freeze_batch_norm(False)
    state = network.training_state(*network.batch(views(network)))
    variables = [variable for variable in network.variables().values() if variable.trainable]

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            total = tf.add_n(list(network.record_loss(state, 0).values()))
        gradients = tape.gradient(total, [variable.value for variable in variables])
        for variable, gradient in zip(variables, gradients, strict=True):
            variable.assign_sub(rate * gradient)
        return total

    return [float(step()) for _ in range(steps + 1)]


@pytest.mark.parametrize("size", [(37, 53), (1, 1), (3, 90), (64, 64)])
def test_images_of_any_size_get_a_map_of_their_size(segmenter, size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    (found,) = segmenter.segment(image)
    assert found.size == found.class_map.shape == found.scores.shape == size
    assert found.class_map.dtype == np.uint8
    assert found.class_map.max() <= len(CLASSES)
    assert (found.scores >= 1 / 3 - 1e-3).all()
    assert found.shares.keys() == set(CLASSES)


def test_no_image_changes_the_map_of_another(segmenter):
    images = [picture(n, size)[0] for n, size in enumerate([(40, 56), (33, 70), (40, 56)])]
    together = segmenter.segment(images)
    for image, found in zip(images, together, strict=True):
        np.testing.assert_array_equal(found.class_map, segmenter.segment(image)[0].class_map)


def test_larger_images_are_scaled_down_and_their_maps_up():
    network = small(max_side=32)
    assert network.resized((40, 64)) == (20, 32)
    (found,) = network.segment(picture(0, (40, 64))[0])
    assert found.class_map.shape == (40, 64)


def test_training_sees_windows_of_the_given_size_with_mirrored_borders_to_ignore():
    network = small(size=(30, 60))
    inputs, _, truth = network.batch(views(network, 2))
    assert inputs.shape == (2, 32, 60, 3)
    semantic = truth["semantic"].numpy()
    assert (semantic[:, 30:] == 255).all()
    assert (semantic[:, :, 56:] == 255).all()
    assert (semantic[:, :30, :56] != 255).all()
    np.testing.assert_array_equal(inputs[:, :, 56:], inputs[:, :, 54:50:-1])


def test_a_window_of_image_and_map_is_the_same_window(segmenter):
    inputs, _, truth = segmenter.batch(views(segmenter, 4))
    bright = inputs.numpy().min(-1) > 120
    assert np.mean(bright == (truth["semantic"].numpy() == 1)) > 0.99


def test_one_step_lowers_the_loss_the_same_way_every_time():
    first, second = (descend(small(seed=3)) for _ in range(2))
    assert first[1] < first[0]
    assert first == second


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"name": "encoder_decoder"},
        {"name": "segnet"},
        {"name": "fcn8", "depth": None, "width": 8, "dropout": 0.5},
        {"name": "fcn16", "depth": None, "width": None, "encoder": "MobileNetV2"},
        {"encoder": "VGG16", "loss": ("focal", "dice"), "class_weights": (1.0, 2.0, 3.0)},
    ],
    ids=lambda options: "-".join(str(options.get(key, "unet")) for key in ("name", "encoder")),
)
def test_every_architecture_learns(options):
    losses = descend(small(**options), steps=4, rate=0.01)
    assert losses[-1] < losses[0]


def test_saved_and_loaded_is_equal(segmenter, tmp_path):
    models.save(segmenter, tmp_path / "model")
    again = models.load(tmp_path / "model")
    assert (again.task, again.classes, again.stride) == ("segmentation", CLASSES, segmenter.stride)
    image = picture(5)[0]
    ours, theirs = (network.segment(image)[0] for network in (segmenter, again))
    np.testing.assert_array_equal(ours.class_map, theirs.class_map)
    np.testing.assert_array_equal(ours.scores, theirs.scores)


def test_tiles_equal_the_whole_image_far_from_their_edges():
    network, tiled = small(), small(tile=48, tile_overlap=0.5)
    image = picture(1, (44, 120))[0]
    whole, tiles = (each.segment(image)[0] for each in (network, tiled))
    inside = np.s_[:, :8]  # of one tile alone, 16 pixels and more from its edge
    np.testing.assert_array_equal(whole.class_map[inside], tiles.class_map[inside])
    np.testing.assert_allclose(
        whole.scores[inside].astype(float), tiles.scores[inside].astype(float), atol=2e-3
    )  # fmt: skip
    assert np.mean(whole.class_map == tiles.class_map) > 0.9


def test_values_without_a_class_are_refused(segmenter):
    image, semantic = picture(0)
    view = views(segmenter, 1)[0]._replace(semantic=np.where(semantic == 2, 7, semantic).astype(np.uint8))
    with pytest.raises(DataError, match=r"values without a class(.|\n)*got: 7..7(.|\n)*expected: 0..2"):
        segmenter.batch([view._replace(image=image)] * 8)


def test_class_maps_without_any_class_are_refused(segmenter):
    picture = dataset(1)[0]
    empty = [replace(picture, class_map=np.full((40, 56), value, np.uint8)) for value in (0, 255)]
    with pytest.raises(DataError, match="There is no class to learn(.|\n)*2 pictures(.|\n)*disc, bar"):
        segmenter.check_data(Dataset(tuple(empty), CLASSES))
    segmenter.check_data(Dataset((*empty, picture), CLASSES))


def test_one_class_is_enough_and_no_class_is_not():
    one = small(("nucleus",))
    assert one.model.output_shape[-1] == 2
    with pytest.raises(ConfigError, match="A segmenter needs a class besides the background"):
        build(SegmentationModel(), ())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"name": "fcn8", "depth": 3}, r"model.depth(.|\n)*got: 3 for fcn8(.|\n)*Its own are: encoder, width"),
        ({"name": "segnet", "encoder": "VGG16"}, r"model.encoder(.|\n)*'VGG16' for segnet"),
        ({"class_weights": (1.0, 2.0)}, r"weights of the classes(.|\n)*3 numbers(.|\n)*background, disc, bar"),
        ({"loss": ("dice", "dice")}, r"no losses to add(.|\n)*'dice', 'dice'"),
        ({"loss": ()}, "no losses to add"),
        ({"weights": "imagenet"}, r"no weights of ImageNet for this architecture(.|\n)*imagenet for unet"),
        ({"weights": "hands"}, r"those of another architecture(.|\n)*Set model.encoder=MobileNetV2"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, text):
    with pytest.raises(ConfigError, match=text):
        small(**{"depth": None} | options)
