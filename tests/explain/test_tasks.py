"""Explanations of models of the other tasks, untrained: what is explained is what they say, whatever that is."""

from __future__ import annotations

import numpy as np
import pytest
from toys import picture

import detkit
from detkit.classification.build import build
from detkit.errors import DataError
from detkit.explain.options import What
from detkit.explain.subject import Subject
from detkit.pipeline.transfer import LocalizationModel, SegmentationModel
from detkit.segmentation import build as segmentation


@pytest.fixture(scope="module")
def segmenter():
    options = SegmentationModel(name="unet", width=4, depth=2, size=32)
    return segmentation.build(options, ("disc", "bar"), seed=0)


def present(segmenter) -> int:
    """A class that the untrained segmenter sees somewhere."""
    return int(np.bincount(segmenter.segment(picture())[0].class_map.ravel(), minlength=3)[1:].argmax())


def test_a_segmenters_logit_is_the_mean_over_the_pixels_of_the_class(segmenter):
    class_id = present(segmenter)
    subject = Subject(segmenter, picture(), What(class_name=segmenter.classes[class_id]))
    logits = segmenter.forward(segmenter.preprocess([picture()])[0])["logits"].numpy()[0]
    region = logits.argmax(axis=-1) == class_id + 1
    np.testing.assert_array_equal(subject.target.region, region)
    mean = logits[region][:, class_id + 1].mean()
    np.testing.assert_allclose(subject.logit(subject.x[None]).numpy(), [mean], rtol=1e-4)
    assert subject.layer.startswith("bottom") and 0 < subject.target.score <= 1


def test_a_segmenter_is_explained(segmenter):
    name = segmenter.classes[present(segmenter)]
    image = np.concatenate([picture(), picture()], axis=1)[:30]
    options = {"class_name": name, "method": ("grad-cam", "rise"), "masks": 8}
    found = detkit.explain(segmenter, image, **options).explanations[0]
    assert {each.shape for each in found.maps.values()} == {(30, 64)}


def test_a_class_without_pixels_is_told(segmenter):
    variables = segmenter.variables()
    bias = variables[next(path for path in variables if path.endswith("logits/bias"))]
    before = bias.numpy()
    bias.assign([0.0, 0.0, -1e3])
    with pytest.raises(DataError, match="No pixel of the picture is of this class"):
        detkit.explain(segmenter, picture(), class_name="bar")
    bias.assign(before)


def test_a_localizer_is_explained_as_a_detector():
    options = LocalizationModel(name="MiniXception", weights=None, size=64, width=0.25)
    localizer = build(options, ("red", "green"), pretrained=False)
    found = detkit.explain(localizer, picture(), method=("grad-cam", "d-rise"), masks=8, threshold=0).explanations[0]
    assert found.box.shape == (4,) and not found.layer.startswith("box")
    assert found.numbers["grad-cam"].keys() >= {"deletion", "insertion", "top_in_box"}
