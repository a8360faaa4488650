"""What CenterNet's maps should show, and what the losses make of it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from model_configs import config

from detkit.detection import center_losses, center_targets

GRID = (12, 16)
META = config("centernet_resnet50_v1_fpn_512x512").model.center_net
SETTINGS = SimpleNamespace(alpha=2.0, beta=4.0)


def objects(boxes, class_ids=None, weights=None) -> center_targets.Objects:
    """Of one picture; boxes in cells."""
    boxes = np.asarray(boxes, np.float32).reshape(1, -1, 4) / np.tile(GRID, 2).astype(np.float32)
    count = boxes.shape[1]
    truth = {
        "boxes": tf.constant(boxes),
        "class_ids": tf.constant([class_ids or [0] * count]),
        "weights": tf.constant(np.array([weights if weights is not None else [1] * count], np.float32)),
    }
    return center_targets.objects(truth, GRID)


def radius(height: float, width: float, overlap: float) -> float:
    """The smallest of CornerNet's three roots, not divided by the leading coefficient."""
    total, area = height + width, height * width
    equations = [
        (1, -total, area * (1 - overlap) / (1 + overlap)),
        (4, -2 * total, (1 - overlap) * area),
        (4 * overlap, 2 * overlap * total, (overlap - 1) * area),
    ]
    return min((-b + np.sqrt(b * b - 4 * a * c)) / 2 for a, b, c in equations)


@pytest.mark.parametrize("size", [(4, 6), (40, 30), (100, 12), (0.5, 0.5), (0, 0)])
def test_gaussians_are_as_wide_as_their_objects_may_move(size):
    found = float(center_targets.spread(tf.constant(size, tf.float32), 0.7))
    assert found == pytest.approx((2 * np.floor(radius(*size, 0.7)) + 1) / 6, rel=1e-5)


def test_a_heat_map_peaks_in_the_cell_of_the_centre():
    found = objects([[2, 3, 8.6, 9.9]], [1])
    heatmap = center_targets.center_heatmap(found, 3, 0.7, GRID).numpy()[0]
    assert heatmap.shape == (*GRID, 3)
    assert (heatmap[..., [0, 2]] == 0).all()
    rows, columns = np.mgrid[: GRID[0], : GRID[1]]
    spread = float(center_targets.spread(found.sizes, 0.7)[0, 0])
    expected = np.exp(-((rows - 5) ** 2 + (columns - 6) ** 2) / (2 * spread**2))  # the centre is (5.3, 6.45)
    assert heatmap[..., 1] == pytest.approx(expected, abs=1e-6)
    assert np.argwhere(heatmap == 1).tolist() == [[5, 6, 1]]


def test_where_gaussians_of_a_class_meet_the_higher_counts():
    boxes = [[0, 0, 8, 8], [1, 4, 9, 12]]
    together = center_targets.center_heatmap(objects(boxes), 1, 0.7, GRID)
    alone = [center_targets.center_heatmap(objects([box]), 1, 0.7, GRID) for box in boxes]
    assert together.numpy() == pytest.approx(tf.maximum(*alone).numpy())
    apart = center_targets.center_heatmap(objects(boxes, [1, 0]), 2, 0.7, GRID)
    assert apart.numpy() == pytest.approx(tf.concat(alone[::-1], axis=-1).numpy())


def test_objects_of_weight_0_and_padding_leave_no_trace():
    found = objects([[1, 1, 6, 6], [0, 0, 0, 0]], weights=[0, 0])
    assert not center_targets.center_heatmap(found, 2, 0.7, GRID).numpy().any()
    nothing = objects([], weights=[])
    assert center_targets.center_heatmap(nothing, 2, 0.7, GRID).numpy().tolist() == np.zeros((1, *GRID, 2)).tolist()


def test_cells_around_a_point_stay_on_the_grid():
    cells, valid = center_targets.around(tf.constant([[0.2, 15.9], [5.5, 5.5]]), 1, GRID)
    assert cells.numpy()[0].tolist() == [[0, 0], [0, 14], [0, 15], [0, 0], [1, 15]]
    assert valid.numpy()[0].tolist() == [0, 1, 1, 0, 1]
    assert cells.numpy()[1].tolist() == [[4, 5], [5, 4], [5, 5], [5, 6], [6, 5]]
    assert center_targets.around(tf.zeros([1, 2]), 3, GRID)[0].shape == (1, 29, 2)


def test_cells_that_show_some_of_the_picture():
    within = center_targets.within_image(tf.constant([[21, 64, 3], [48, 5, 3]]), GRID, 4).numpy()[..., 0]
    assert within[0].sum(axis=0).tolist() == [6] * 16
    assert within[1].sum(axis=1).tolist() == [2] * 12


def test_boxes_of_unlabelled_keypoints_are_left_out():
    found = objects([[2, 2, 6, 6], [4, 4, 9, 10]])
    kept = center_targets.outside_of_unlabelled(found, tf.constant([[[1.0, 0.0], [0.0, 1.0]]]), GRID).numpy()[0]
    assert (kept == 0).sum(axis=(0, 1)).tolist() == [30, 16]
    assert not kept[2:6, 2:6, 1].any() and kept[2:4, 2:4, 0].all() and not kept[4:9, 4:10, 0].any()


def test_the_focal_loss_of_a_heat_map():
    logits, heatmap = np.array([0.3, 0.3, -30, 30, 30]), np.array([1.0, 0.8, 1.0, 0.0, 1.0])
    p = np.clip(1 / (1 + np.exp(-logits)), 1e-4, 1 - 1e-4)
    expected = np.where(heatmap == 1, -((1 - p) ** 2) * np.log(p), -((1 - heatmap) ** 4) * p**2 * np.log(1 - p))
    found = center_losses.focal(tf.constant(logits, tf.float32), tf.constant(heatmap, tf.float32), SETTINGS)
    assert found.numpy() == pytest.approx(expected, rel=1e-3)


# Losses


def losses_of(found: center_targets.Objects, state: dict, stacks: int = 1) -> dict:
    """Those of one picture that fills the grid."""
    truth = {
        "boxes": found.corners / tf.constant((*GRID, *GRID), tf.float32),
        "class_ids": found.class_ids,
        "weights": found.weights,
        "true_shapes": tf.constant([[4 * side for side in GRID] + [3]]),
    }
    losses = center_losses.CenterLosses(META, stacks, truth, GRID, 2).of_boxes(state)
    return {name: float(value) for name, value in losses.items()}


def outputs(center: float = -3.0, stacks: int = 1) -> dict:
    state = {}
    for stack in range(stacks):
        state[f"object_center/{stack}"] = tf.fill([1, *GRID, 2], center)
        state[f"box/scale/{stack}"] = state[f"box/offset/{stack}"] = tf.zeros([1, *GRID, 2])
    return state


def test_sizes_and_offsets_are_measured_at_the_centre():
    found = losses_of(objects([[2, 3, 8, 9.5]]), outputs())
    assert found["scale_loss"] == pytest.approx(0.1 * (6 + 6.5))
    assert found["offset_loss"] == pytest.approx(0.25, abs=1e-5)  # the centre is (5, 6.25)


def test_two_objects_with_one_centre_both_count():
    box, other = [2, 3, 8, 9], [3, 2, 7, 10]
    one, two = losses_of(objects([box]), outputs()), losses_of(objects([box, other]), outputs())
    assert two["scale_loss"] == pytest.approx(0.1 * (6 + 6 + 4 + 8) / 2)
    assert np.isfinite(two["center_loss"]) and two["center_loss"] < one["center_loss"]


def test_losses_are_divided_by_objects_and_stacks():
    box = [2, 3, 8, 9]
    one, twice = losses_of(objects([box]), outputs()), losses_of(objects([box, box]), outputs())
    assert twice == pytest.approx({**one, "center_loss": one["center_loss"] / 2})
    assert losses_of(objects([box]), outputs(stacks=2), stacks=2) == pytest.approx(one)


def test_a_region_to_ignore_asks_for_nothing_but_the_peaks_in_it():
    box, region = objects([[2, 3, 8, 9]]), objects([[2, 3, 8, 9], [0, 0, 12, 10]], weights=[1, 0])
    peak = tf.cast(center_targets.center_heatmap(box, 2, 0.7, GRID) == 1, tf.float32)
    inside = np.zeros((1, *GRID, 2), np.float32)
    inside[:, :, :10] = 1
    usual, elsewhere, at_peak, outside = outputs(), outputs(), outputs(), outputs()
    elsewhere["object_center/0"] += 2.0 * inside * (1 - peak)
    at_peak["object_center/0"] += peak
    outside["object_center/0"] += 2.0 * (1 - inside)
    loss = losses_of(region, usual)["center_loss"]
    assert losses_of(region, elsewhere)["center_loss"] == pytest.approx(loss)
    assert losses_of(region, at_peak)["center_loss"] < 0.9 * loss
    assert losses_of(region, outside)["center_loss"] > 1.1 * loss
    assert losses_of(box, elsewhere)["center_loss"] > 1.1 * losses_of(box, usual)["center_loss"]
