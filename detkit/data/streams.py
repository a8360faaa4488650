"""Images as users give them, one or several, files or pixels; and what finds objects in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from detkit.data import images as image_files
from detkit.detections import Detections
from detkit.visualize.draw import check_image


def several(images) -> Iterable:
    """One image, a path or an array [H, W, 3], as a list of one; more of them as they are."""
    return [images] if isinstance(images, (str, Path)) or getattr(images, "ndim", 0) == 3 else images


def opened(image) -> tuple[np.ndarray, str]:
    """(uint8 [H, W, 3] RGB, its path) of a path, or of an array, which has the path "".

    Raises:
        DataError, MediaError: if the file can't be read, or the array is no image.
    """
    if isinstance(image, (str, Path)):
        return image_files.decode(image), str(image)
    return check_image(image), ""


def images_in(folder: Path) -> tuple[Path, ...]:
    """The images of a folder in natural order, hidden ones left out."""
    files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    return tuple(sorted((p for p in files if p.suffix.lower() in image_files.EXTENSIONS), key=natural_order))


def natural_order(path: str | Path) -> tuple:
    """A sort key that puts `out2.png` before `out10.png`."""
    parts = re.split("([0-9]+)", str(path))
    parts[1::2] = map(int, parts[1::2])
    return parts, str(path)


class ObjectFinder:
    """Something that finds objects in images; a kind of it gives `detect_stream`."""

    def detect(self, images, batch_size: int | None = None, threshold: float = 0.0) -> list[Detections]:
        """Finds objects.

        Args:
            images: paths or uint8 arrays [H, W, 3] RGB, of any sizes; or one of them.
            batch_size: images that go through a network together; None: what suits it.
            threshold: the lowest score of a detection; the higher, the less there is to suppress.

        Returns:
            One Detections for each image.
        """
        return list(self.detect_stream(several(images), batch_size, threshold))

    def detect_stream(
        self, images: Iterable, batch_size: int | None = None, threshold: float = 0.0
    ) -> Iterator[Detections]:
        """`detect` for a stream: holds few images at a time."""
        raise NotImplementedError
