"""SavedModels as others make them: each finds one object for every channel, where and how sure its mean says.

python maker.py DIRECTORY writes all of them, by itself, as another program would.
"""

from __future__ import annotations

import sys
from pathlib import Path

import tensorflow as tf

NAMES = ("Duck", "Toy boat", "Apple")
BOXES = [[0.1, 0.2, 0.5, 0.6], [0.3, 0.1, 0.9, 0.4], [0.0, 0.5, 0.25, 1.0]]
LABEL_MAP = "".join(f'item {{ id: {i} name: "{name}" }}\n' for i, name in enumerate(NAMES, start=1))


def means(image):
    """The mean of each channel of an image [1, H, W, 3], in its own units."""
    return tf.reduce_mean(tf.cast(image[0], tf.float32), axis=[0, 1])


def od_api(columns: int = 4):
    """The OD API's signature."""

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8, "input_tensor")])
    def detect(input_tensor):
        scores = tf.sort(means(input_tensor) / 255.0, direction="DESCENDING")
        classes = tf.cast(tf.argsort(means(input_tensor), direction="DESCENDING"), tf.float32) + 1.0
        boxes = tf.gather(tf.constant(BOXES), tf.cast(classes, tf.int32) - 1)
        return {
            "detection_boxes": tf.pad(boxes, [[0, 2], [0, 0]])[None],
            "detection_scores": tf.pad(scores, [[0, 2]])[None],
            "detection_classes": tf.pad(classes, [[0, 2]], constant_values=1.0)[None],
            "detection_multiclass_scores": tf.zeros([1, 5, columns]),
            "num_detections": tf.constant([3.0]),
        }

    return detect


def open_images():
    """The signature of the Open Images modules: a float image of 0..1 in, names out, no batch axis."""

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.float32, "images")])
    def detect(images):
        scores = means(images)
        return {
            "detection_boxes": tf.constant(BOXES),
            "detection_scores": scores,
            "detection_class_entities": tf.gather(tf.constant(NAMES), tf.range(3)),
            "detection_class_names": tf.gather(tf.constant(["/m/1", "/m/2", "/m/3"]), tf.range(3)),
        }

    return detect


def unknown():
    """A classifier's signature."""

    @tf.function(input_signature=[tf.TensorSpec([None, 224, 224, 3], tf.float32, "pixels")])
    def classify(pixels):
        return {"logits": tf.reduce_mean(pixels, axis=[1, 2])}

    return classify


def write(function, directory, key: str = "serving_default") -> Path:
    """A SavedModel of a function in a directory."""
    module = tf.Module()
    module.serve = function
    tf.saved_model.save(module, str(directory), signatures={key: function.get_concrete_function()})
    return Path(directory)


def main(folder: Path) -> None:
    write(od_api(), folder / "od/saved_model")
    (folder / "od/label_map.pbtxt").write_text(LABEL_MAP)
    write(open_images(), folder / "open_images", "default")
    write(unknown(), folder / "unknown")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
