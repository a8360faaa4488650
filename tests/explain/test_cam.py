"""Class activation maps of maps made by hand, and of a classifier whose maps are known."""

from __future__ import annotations

import numpy as np
import pytest
from toys import BOX, picture, red_classifier

from detkit.explain import cam, scores
from detkit.explain.methods import explain_by
from detkit.explain.options import How, What
from detkit.explain.subject import Subject


@pytest.fixture(scope="module")
def subject():
    return Subject(red_classifier(), picture(), What())


def test_grad_cam_weighs_maps_by_their_mean_derivative():
    maps = np.stack([np.eye(3), np.ones((3, 3))], axis=-1).astype(np.float32)
    derivatives = np.broadcast_to(np.array([2.0, -1.0], np.float32), (3, 3, 2))
    np.testing.assert_allclose(cam.grad_cam(maps, derivatives), np.eye(3))


def test_grad_cam_plus_plus_sees_a_rare_place_better():
    # One map is active in many places, the other in one; Grad-CAM would make the latter weaker.
    maps = np.zeros((4, 4, 2), np.float32)
    maps[:2, :, 0], maps[3, 3, 1] = 1.0, 1.0
    derivatives = maps.copy()
    plain, plus = cam.grad_cam(maps, derivatives), cam.grad_cam_plus_plus(maps, derivatives)
    assert plain[3, 3] / plain[0, 0] == pytest.approx(1 / 8)
    assert plus[3, 3] / plus[0, 0] == pytest.approx((1 / 3) / (8 / 10))


def test_derivatives_of_zero_give_empty_maps():
    maps, nothing = np.ones((3, 3, 2), np.float32), np.zeros((3, 3, 2), np.float32)
    for method in (cam.grad_cam, cam.grad_cam_plus_plus):
        assert (method(maps, nothing) == 0).all()
    assert (cam.sensitivity(nothing) == 0).all()


def test_sensitivity_is_highest_where_the_derivatives_are():
    derivatives = np.zeros((7, 7, 2), np.float32)
    derivatives[2, 5] = 1.0, -3.0
    found = cam.sensitivity(derivatives)
    assert found[2, 5] == found.max() == 1 and found[6, 0] < 1e-6


@pytest.mark.parametrize("method", ["grad-cam", "grad-cam++", "cam", "integrated-gradients", "occlusion", "rise"])
def test_every_method_finds_what_the_classifier_looks_at(subject, method):
    found = explain_by(method, subject, How(masks=120, cells=6))
    assert found.shape == (32, 32) and found.dtype == np.float32
    assert scores.pointed(found, BOX)


def test_behind_a_global_average_pooling_grad_cam_is_cam(subject):
    # "The derivative of a mean is the weight of the mean, divided by the number of cells."
    class_map, grad_cam = (explain_by(name, subject, How()) for name in ("cam", "grad-cam"))
    cells = np.prod(subject.maps.shape[:2])
    np.testing.assert_allclose(class_map, grad_cam * cells, rtol=1e-4, atol=1e-4)


def test_the_chosen_layer_is_the_last_before_the_pooling(subject):
    assert subject.layer == "coarse"


def test_the_second_of_two_classes_may_have_the_only_logit():
    kernel = np.array([[1.0], [2.0]])
    assert cam.class_weights(kernel, 1).tolist() == [1, 2]
    assert cam.class_weights(kernel, 0).tolist() == [-1, -2]
