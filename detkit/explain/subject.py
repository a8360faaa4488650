"""A model, a picture and what is to be explained of it: all that a method needs."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import tensorflow as tf

from detkit.classification.classifier import Classifier
from detkit.errors import ConfigError, DataError
from detkit.explain.cam import enlarged
from detkit.explain.detections import class_logit, detection_target
from detkit.explain.gradients import derivative
from detkit.explain.options import What
from detkit.explain.perturbation import BATCH
from detkit.explain.targets import Target, class_id_of
from detkit.explain.views import View, view_of
from detkit.segmentation.segmenter import Segmenter
from detkit.visualize.draw import check_image


class Subject:
    """What a model says of one picture.

    Args:
        model: of `detkit.load`, or anything with `detect` and `classes`.
        image: uint8 [H, W, 3] RGB.
        what: which class or detection.
        layer: the name of the layer whose maps are looked at; None for one that suits.

    Attributes:
        view: the model from inside, or None.
        picture: uint8 [h, w, 3], the image as the model reads it, without padding.
        target: what is explained; result: all that the model says of the picture.

    Raises:
        ConfigError: for a class or a layer that the model does not have; DataError: if the picture has nothing to
            explain.
    """

    def __init__(self, model, image: np.ndarray, what: What, layer: str | None = None):
        check_image(image)
        self.model, self.view, self.image = model, view_of(model), image
        self.picture = image if self.view is None else self.view.picture(image)
        self.target, self.result = _target(model, self.view, self.picture, what)
        self._layer = layer

    def inside(self, method: str) -> View:
        """The view; ConfigError if the model can't be seen from inside."""
        if self.view is None:
            raise ConfigError(
                f"{method} needs the gradients of a model, and this one only answers.",
                got=type(self.model).__name__,
                fix="Use d-rise or occlusion.",
            )
        return self.view

    def logit(self, x):
        """The target's logit [B] for pictures float32 [B, h, w, 3] of 0..255, differentiable."""
        return self.target.logit(self.inside("This").trace(x).outputs)

    @property
    def x(self) -> np.ndarray:
        """The picture as float32."""
        return self.picture.astype(np.float32)

    @property
    def layer(self) -> str:
        """The layer whose maps are looked at."""
        return self._traced[0]

    @property
    def maps(self) -> np.ndarray:
        """Its maps, float32 [h, w, C]."""
        return self._traced[1]

    @property
    def derivatives(self) -> np.ndarray:
        """Of the target's logit by its maps, float32 [h, w, C]."""
        return self._traced[2]

    @cached_property
    def _traced(self) -> tuple:
        view = self.inside("A map of a layer")
        x = tf.constant(self.x[None])
        with tf.GradientTape() as tape:
            tape.watch(x)
            trace = view.trace(x)
            view.checked(self._layer, trace.maps)
            logit = self.target.logit(trace.outputs)
        found = derivative(tape, logit, trace.maps)
        layer = self._layer or view.default_layer(trace, found)
        return layer, trace.maps[layer][0].numpy(), found[layer][0].numpy()

    def keep_layer(self) -> None:
        """From now on the same layer is looked at, whatever the weights."""
        self._layer = self.layer

    def forget(self) -> None:
        """Makes maps and derivatives be computed again, when the model's weights have changed."""
        self.__dict__.pop("_traced", None)

    @property
    def seen(self) -> np.ndarray:
        """The layer's maps without what lies over the padding, float32 [h, w, C]."""
        height, width = self.picture.shape[:2]
        whole = self.inside("A map of a layer").padded((height, width))
        rows, columns = (
            max(1, round(n * side / all_))
            for n, side, all_ in zip(self.maps.shape, (height, width), whole, strict=False)
        )
        return self.maps[:rows, :columns]

    def fitted(self, small: np.ndarray) -> np.ndarray:
        """A map of the padded input at any size -> [h, w] of the picture."""
        height, width = size = self.picture.shape[:2]
        return enlarged(small, self.inside("A map of a layer").padded(size))[:height, :width]


def _target(model, view, picture, what: What) -> tuple[Target, object]:
    if isinstance(model, Classifier):
        return _of_class(model, picture, what)
    if isinstance(model, Segmenter):
        return _of_region(model, view, picture, what)
    if hasattr(model, "detect"):
        return detection_target(model, picture, what.class_name, what.detection, what.threshold)
    raise ConfigError("detkit can't explain this kind of model.", got=type(model).__name__)


def _only_classes(what: What) -> None:
    if what.detection is not None:
        raise ConfigError("Only detectors have detections to choose from.", got=what.detection, fix="Name a class.")


def _of_class(model, picture, what: What) -> tuple:
    """The logit of a class, by default the likeliest; the answer is its probability."""
    _only_classes(what)
    result = model.classify([picture])[0]
    class_id = result.class_id if what.class_name is None else class_id_of(what.class_name, model.classes)

    def answer(pictures):
        return np.array([each.scores[class_id] for each in model.classify(list(pictures), BATCH)], np.float32)

    score = float(result.scores[class_id])
    text = f"{model.classes[class_id]} {score:.2f}"
    return Target(text, class_id, score, answer, lambda outputs: class_logit(outputs["logits"], class_id)), result


def _of_region(model, view, picture, what: What) -> tuple:
    """The mean logit of a class over the pixels that are called so, by default the largest such region.

    Source: Vinogradova et al., "Towards interpretable semantic segmentation via gradient-weighted class activation
    mapping", 2020.
    """
    _only_classes(what)
    result = model.segment([picture])[0]
    class_id = _largest(result) if what.class_name is None else class_id_of(what.class_name, model.classes)
    region = result.class_map == class_id + 1
    if not region.any():
        got = f"only {', '.join(result.labels) or 'background'}"
        where = "this class" if what.class_name else "any class"
        raise DataError(f"No pixel of the picture is of {where}.", got=got, fix="Take another picture or class.")
    height, width = region.shape

    def mean(values):
        return tf.boolean_mask(values[:, :height, :width], region, axis=1)

    def answer(pictures):
        x = np.stack([np.asarray(model.preprocess([each])[0])[0] for each in pictures])
        probabilities = tf.nn.softmax(model.forward(tf.constant(x))["logits"])[..., class_id + 1]
        return tf.reduce_mean(mean(probabilities), axis=1).numpy()

    def logit(outputs):
        return tf.reduce_mean(mean(outputs["logits"][..., class_id + 1]), axis=1)

    score = float(answer(picture[None])[0])
    text = f"{model.classes[class_id]} {score:.2f}"
    return Target(text, class_id, score, answer, logit, region=region), result


def _largest(result) -> int:
    return max(range(len(result.classes)), key=lambda n: result.shares[result.classes[n]])
