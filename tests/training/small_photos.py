"""Photos of noise."""

from __future__ import annotations

import numpy as np


def photo(seed, boxes, class_ids, size=(60, 80), **options):
    from detkit.data.example import Example

    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)
    return Example(pixels, boxes, class_ids, size, image_id=f"photo {seed}", **options)
