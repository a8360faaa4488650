"""`Segmenter`, a network that tells the class of each pixel."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf

from detkit.data.class_map import IGNORED
from detkit.data.dataset import Dataset
from detkit.errors import DataError
from detkit.networks.pictures import PictureNetwork
from detkit.segmentation.deciding import decided, joined, softmax
from detkit.segmentation.losses import segmentation_losses
from detkit.segmentation.results import Segmented
from detkit.segmentation.tiles import blended
from detkit.segmentation.windows import padded, padded_size, scaled, scaled_size, window

WINDOW = (256, 256)  # that training cuts out, where the options don't say
LOSSES = ("cross_entropy", "dice")  # where the options don't say
_LARGEST_BATCH = 2**20  # pixels of images that go through the network together


class Segmenter(PictureNetwork):
    """Tells the class of each pixel of images of any size.

    An image is scaled down to the options' `max_side`, padded by its mirror image to a multiple of the stride, and what
    the network says is cut and scaled back; larger ones than a tile go through it tile by tile.

    Attributes:
        stride: what the sides of the input have to be multiples of.
        smallest: (height, width) that the input has at least.
    """

    task, wants, outputs = "segmentation", ("semantic",), ("logits",)
    stride: int
    smallest = (1, 1)

    def check_data(self, dataset: Dataset) -> None:
        """DataError if no picture has a pixel of a class."""
        if not any(np.isin(example.semantic(), (0, IGNORED), invert=True).any() for example in dataset):
            raise DataError(
                "There is no class to learn: no picture has a pixel of one.",
                where=dataset.name,
                got=f"{len(dataset)} pictures of background and ignored pixels only",
                expected=f"pixels of {', '.join(dataset.classes)}",
                fix="Check that the masks have the values of the classes.",
            )

    # Training

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of what training sees."""
        return self._padded_size(self._window)

    @property
    def _window(self) -> tuple[int, int]:
        """(height, width) of what training cuts out."""
        return self.options.size or tuple(map(max, WINDOW, self.smallest))

    def _padded_size(self, size: tuple[int, int]) -> tuple[int, int]:
        return padded_size(tuple(map(max, size, self.smallest)), self.stride)

    def resized(self, size: tuple[int, int]) -> tuple[int, int]:
        return scaled_size(size, self.options.max_side)

    def batch(self, views: list) -> tuple:
        cut = [window(view, self.resized(view.size), self._window, self.input_size) for view in views]
        images = tf.constant(np.stack([view.image for view in cut]).astype(np.float32))
        shapes = tf.constant([[*self.input_size, 3]] * len(cut), tf.int32)
        return images, shapes, {name: tf.constant(value) for name, value in self.truth(cut).items()}

    def truth(self, views: list) -> dict:
        semantic = np.stack([view.semantic for view in views])
        beyond = semantic[(semantic > len(self.classes)) & (semantic != IGNORED)]
        if beyond.size:
            raise DataError(
                "A class map has values without a class.",
                got=f"{beyond.min()}..{beyond.max()}",
                expected=f"0..{len(self.classes)}, or {IGNORED} for pixels to ignore",
                fix="Complete the list of classes, or correct the class maps.",
            )
        return {"semantic": semantic, "seed": np.array([view.seed for view in views], np.int32)}

    def losses(self, state: dict) -> dict:
        weights = self.options.class_weights or None
        return segmentation_losses(state["logits"], state["truth/semantic"], self.options.loss or LOSSES, weights)

    # Prediction

    def segment(self, images, batch_size: int = 8) -> list[Segmented]:
        """Tells the class of each pixel.

        Args:
            images: paths or uint8 arrays [H, W, 3] RGB, of any sizes; or one of them.
            batch_size: images that are read together.

        Returns:
            One `Segmented` for each image.
        """
        if isinstance(images, (str, Path)) or getattr(images, "ndim", 0) == 3:
            images = [images]
        return list(self.stream(images, batch_size))

    def preprocess(self, images: Iterable[np.ndarray]) -> tuple:
        small = [scaled(image, self.resized(image.shape[:2])) for image in images]
        size = self._padded_size(np.max([image.shape[:2] for image in small], axis=0).tolist())
        inputs = np.stack([padded(image, size) for image in small]).astype(np.float32)
        return tf.constant(inputs), tf.constant([image.shape for image in small], tf.int32)

    def forward(self, inputs) -> dict:
        """As of every network, but compiled once for all sizes."""
        if "any size" not in self._graphs:
            signature = [tf.TensorSpec([None, None, None, 3])]
            self._graphs["any size"] = tf.function(self._forward, input_signature=signature, autograph=False)
        return self._graphs["any size"](inputs)

    def results(self, outputs: dict, sizes: list, sources: list) -> list[Segmented]:
        """What logits [B, h, w, C], of images padded as `preprocess` does, say of images of these (height, width)."""
        found = []
        for logits, size, source in zip(outputs["logits"], sizes, sources, strict=True):
            height, width = self.resized(size)
            maps = decided(softmax(logits[:height, :width]), size)
            found.append(Segmented(*maps, self.classes, tuple(size), source))
        return found

    def _results_of(self, arrays: list, sources: list) -> list[Segmented]:
        """Images of one size go through the network together, so that none changes the padding of another."""
        found: list = [None] * len(arrays)
        for indices in self._batches([array.shape[:2] for array in arrays]):
            some, names = [arrays[i] for i in indices], [sources[i] for i in indices]
            if self._is_large(some[0].shape[:2]):
                results = [self._in_tiles(some[0], names[0])]
            else:
                results = super()._results_of(some, names)
            for i, result in zip(indices, results, strict=True):
                found[i] = result
        return found

    def _batches(self, sizes: list) -> list[list[int]]:
        """The numbers of the images that go through the network together."""
        groups: dict = {}
        for i, size in enumerate(sizes):
            groups.setdefault(self.resized(size), []).append(i)
        batches = []
        for size, indices in groups.items():
            most = 1 if self._is_large(size) else max(_LARGEST_BATCH // (size[0] * size[1]), 1)
            batches += [indices[start : start + most] for start in range(0, len(indices), most)]
        return batches

    def _is_large(self, size: tuple[int, int]) -> bool:
        tile, size = self.options.tile, self.resized(size)
        return tile is not None and (size[0] > tile[0] or size[1] > tile[1])

    def _in_tiles(self, image: np.ndarray, source: str) -> Segmented:
        """What tiles say; they begin at multiples of the stride, so that each pixel is pooled as in the whole image."""
        small = scaled(image, self.resized(image.shape[:2]))
        whole = self._padded_size(small.shape[:2])
        tile = tuple(map(min, whole, self._padded_size(self.options.tile)))
        share = 1 - self.options.tile_overlap
        step = tuple(max(int(side * share) // self.stride, 1) * self.stride for side in tile)
        bands = blended(padded(small, whole), self._probabilities, tile, step)
        maps = joined(bands, small.shape[:2])
        if small.shape[:2] != image.shape[:2]:
            maps = tuple(cv2.resize(each, image.shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT) for each in maps)
        return Segmented(*maps, self.classes, image.shape[:2], source)

    def _probabilities(self, images: np.ndarray) -> np.ndarray:
        return softmax(self.forward(tf.constant(images.astype(np.float32)))["logits"].numpy())
