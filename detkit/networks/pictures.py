"""What networks for whole pictures have in common: training on windows of them, prediction in batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import tensorflow as tf

from detkit.data.streams import opened
from detkit.networks.layers import dropping
from detkit.networks.network import TRUTH, Network


class PictureNetwork(Network):
    """A network that says one thing of a picture as a whole, or of each of its pixels.

    A kind of model gives `preprocess`, `truth`, `losses` and `results` their meaning.

    Args:
        classes, label_ids, name: as of every network.
        options: the dataclass of options that the model was built from.

    Attributes:
        input_name: of the images in a state.
        outputs: the names of what comes out.
        pretrained: whether the backbone has trained weights; weights_text: where they came from.
        fixed: whether it can't be trained; saved_model: the directory that holds it then.
        checkpoint_names: {path: layer} under which checkpoints hold layers for others to read, beside `nodes`.
        checkpoint_items: names at the root of checkpoints, of what has them below the model too.
    """

    tunable = {"head": ("head",), "all": ("backbone", "head")}
    outputs: tuple[str, ...]
    input_name = "image"
    fixed = False
    saved_model: Path | None = None
    checkpoint_names: Mapping = MappingProxyType({})
    checkpoint_items: tuple[str, ...] = ()

    def __init__(self, classes, label_ids=None, *, name="model", options):
        super().__init__(classes, label_ids, name)
        self.options, self.pretrained, self.weights_text = options, False, ""

    # Training

    def batch(self, views: list) -> tuple:
        inputs, true_shapes = self.preprocess([view.image for view in views])
        return inputs, true_shapes, {name: tf.constant(value) for name, value in self.truth(views).items()}

    def truth(self, views: list) -> dict:
        """What is true of some views, as arrays [B, ...]; "seed" int32 [B] among them."""
        raise NotImplementedError

    def training_state(self, inputs, true_shapes, groundtruth: dict) -> dict:
        return {self.input_name: inputs} | {f"{TRUTH}{name}": value for name, value in groundtruth.items()}

    def record_loss(self, record: dict, stage: int) -> dict:
        """As of every network; dropout is on from the seam on."""
        with dropping(record[f"{TRUTH}seed"]):
            return super().record_loss(record, stage)

    # Prediction

    def preprocess(self, images) -> tuple:
        """Brings images to the size of the input.

        Args:
            images: uint8 arrays [H, W, 3] RGB, of any sizes.

        Returns:
            inputs float32 [B, h, w, 3] of 0..255, true_shapes int32 [B, 3]: the size of each image inside its padding.
        """
        raise NotImplementedError

    def forward(self, inputs) -> dict:
        """{output: tensor} of preprocessed inputs, compiled once for an input size."""
        key = tuple(inputs.shape[1:3])
        if key not in self._graphs:
            signature = [tf.TensorSpec([None, *inputs.shape[1:]])]
            self._graphs[key] = tf.function(self._forward, input_signature=signature, autograph=False)
        return self._graphs[key](inputs)

    def _forward(self, inputs) -> dict:
        return self.finish({self.input_name: inputs}, 0)

    def finish(self, record: dict, stage: int) -> dict:
        """{output: tensor} of a state, or of a record, from its seam on."""
        state = self.run(record, stage)
        return {name: state[name] for name in self.outputs}

    def results(self, outputs: dict, sizes: list, sources: list) -> list:
        """What the outputs, arrays [B, ...], say of images of these (height, width)."""
        raise NotImplementedError

    def stream(self, images: Iterable, batch_size: int = 8) -> Iterator:
        """A result for each image, a path or a uint8 array [H, W, 3] RGB of any size; holds one batch at a time."""
        iterator = iter(images)
        while batch := tuple(itertools.islice(iterator, batch_size)):
            arrays, sources = zip(*map(opened, batch), strict=True)
            yield from self._results_of(list(arrays), list(sources))

    def _results_of(self, arrays: list, sources: list) -> list:
        outputs = self.forward(self.preprocess(arrays)[0])
        sizes = [array.shape[:2] for array in arrays]
        return self.results({name: value.numpy() for name, value in outputs.items()}, sizes, sources)
