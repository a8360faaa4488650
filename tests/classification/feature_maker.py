"""SavedModels that turn images into features, as others make them.

python feature_maker.py DIRECTORY writes one of each kind, by itself, as another program would.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

SIZE, WIDTH = 24, 6
KERNEL = 2.0 * np.random.default_rng(5).normal(size=(3, WIDTH)).astype(np.float32)


def features(images: np.ndarray) -> np.ndarray:
    """What all of them make of images [B, h, w, 3] of 0..255."""
    return np.tanh((images / 255.0).mean(axis=(1, 2)) @ KERNEL)


class Vector(tf.Module):
    """Images of 0..1, or whole numbers of 0..255, -> vectors."""

    def __init__(self):
        super().__init__()
        self.kernel = tf.Variable(KERNEL)

    def of(self, images):
        pixels = tf.cast(images, tf.float32) / (1.0 if images.dtype.is_floating else 255.0)
        return tf.tanh(tf.reduce_mean(pixels, axis=[1, 2]) @ self.kernel)


class Reusable(tf.Module):
    """A reusable SavedModel of TensorFlow 2: called with images, without a signature."""

    def __init__(self):
        super().__init__()
        self.vector = Vector()
        for training in (True, False):
            self.__call__.get_concrete_function(tf.TensorSpec([None, SIZE, SIZE, 3]), training)

    @tf.function
    def __call__(self, images, training=False):
        return self.vector.of(images) + (100.0 if training else 0.0)


def signed(directory, outputs: Callable | None = None, spec: tf.TensorSpec | None = None) -> Path:
    """A SavedModel whose only way in is its signature serving_default.

    Args:
        outputs: a Vector, images -> {name: tensor}.
        spec: of the images.
    """
    module = Vector()
    outputs = outputs or (lambda vector, images: {"feature_vector": vector.of(images)})
    spec = spec or tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32, "images")
    serve = tf.function(lambda images: outputs(module, images), input_signature=[spec])
    module.serve = serve
    tf.saved_model.save(module, str(directory), signatures=serve)
    return Path(directory)


def version1(directory) -> Path:
    """A module of TensorFlow 1: two graphs, one of them for training, each with the signatures of images."""
    builder = tf.compat.v1.saved_model.Builder(str(directory))
    for training in (False, True):
        with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
            images = tf.compat.v1.placeholder(tf.float32, [None, SIZE, SIZE, 3])
            kernel = tf.compat.v1.get_variable("kernel", initializer=KERNEL, use_resource=True)
            vector = tf.tanh(tf.reduce_mean(images, axis=[1, 2]) @ kernel) + (100.0 if training else 0.0)
            session.run(tf.compat.v1.global_variables_initializer())
            signatures = _signatures(images, {"default": vector, "Net/maps": tf.nn.avg_pool2d(images, 8, 8, "VALID")})
            if training:
                builder.add_meta_graph(["train"], signature_def_map=signatures)
            else:
                builder.add_meta_graph_and_variables(session, [], signature_def_map=signatures)
    builder.save()
    return Path(directory)


def _signatures(images, outputs: dict) -> dict:
    described = tf.compat.v1.saved_model.build_tensor_info
    inputs, outputs = {"images": described(images)}, {name: described(value) for name, value in outputs.items()}
    definition = tf.compat.v1.saved_model.build_signature_def
    return {key: definition(inputs, outputs, key) for key in ("default", "image_feature_vector")}


def main(folder: Path) -> None:
    version1(folder / "version1")
    tf.saved_model.save(Reusable(), str(folder / "reusable"))
    signed(folder / "signed")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
