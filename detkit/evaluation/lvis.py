"""LVIS-style evaluation: not every class was looked for in every image, and classes are rare, common or frequent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

MOST = 300  # detections of an image that count, of all classes together
FREQUENCIES = ("r", "c", "f")  # rare, common, frequent
_RARE, _COMMON = 10, 100  # training images of a class, at most


@dataclass(frozen=True)
class Federation:
    """What is known of each image of a federated dataset.

    Attributes:
        absent: pairs of image and class of which it is known that there is nothing to find.
        incomplete: pairs of image and class of which not all objects are annotated.
        frequency: "r", "c", "f" or None for each class.

    Source: Gupta et al., LVIS: a dataset for large vocabulary instance segmentation, 2019.
    """

    absent: frozenset[tuple[int, int]]
    incomplete: frozenset[tuple[int, int]]
    frequency: tuple[str | None, ...]

    @classmethod
    def of(cls, document: Mapping, images: Mapping, categories: Mapping) -> Federation | None:
        """Of an annotation file, with the ranks of its ids; None if it says nothing of the kind."""
        if not any("neg_category_ids" in entry for entry in document["images"]):
            return None
        pairs = {
            key: frozenset(
                (images[entry["id"]], categories[category])
                for entry in document["images"]
                for category in entry.get(key, ())
                if category in categories
            )
            for key in ("neg_category_ids", "not_exhaustive_category_ids")
        }
        frequency = [None] * len(categories)
        for entry in document["categories"]:
            frequency[categories[entry["id"]]] = _frequency(entry)
        return cls(pairs["neg_category_ids"], pairs["not_exhaustive_category_ids"], tuple(frequency))

    def judged(self, found: list[dict], truth: list[dict]) -> list[dict]:
        """The detections that can be judged: the best of each image, of classes that are known to be there or not."""
        known = self.absent | {(box["image_id"], box["category_id"]) for box in truth}
        of_image = defaultdict(list)
        for entry in found:
            of_image[entry["image_id"]].append(entry)
        best = [e for each in of_image.values() for e in sorted(each, key=lambda e: -e["score"])[:MOST]]
        return [entry for entry in best if (entry["image_id"], entry["category_id"]) in known]


def _frequency(category: Mapping) -> str | None:
    count = category.get("image_count")
    if category.get("frequency") in FREQUENCIES:
        return category["frequency"]
    return None if not isinstance(count, int) else "r" if count <= _RARE else "c" if count <= _COMMON else "f"
