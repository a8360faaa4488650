"""Pictures that are in a dataset twice: equal ones, and nearly equal ones, which a split should not separate."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from detkit.data import images
from detkit.data.encoded import EncodedImage
from detkit.data.example import Example
from detkit.data.twins.likeness import SIDE, descriptions, likeness
from detkit.errors import MediaError
from detkit.progress import progress

if TYPE_CHECKING:
    from detkit.data.dataset import Dataset

_ALIKE = 0.88  # the likeness from which pictures are nearly equal
_CANDIDATE = 0.7  # the inner product of descriptions from which pictures are compared
_MOST = 16  # candidates of a picture
_ROWS, _COLUMNS, _PAIRS = 512, 8192, 128  # what is compared at a time; the memory that it takes
_SAME = 0.05  # the difference below which a JPEG and another file may have the same pixels


@dataclass(frozen=True)
class Twins:
    """What `find` found.

    Attributes:
        pairs: (i, j, "exact" or "near", difference) with i < j, rising.
        groups: int [N], for each example the number of its group, counted by first appearance.
        unreadable: {i: error} of pictures that are missing or damaged; each is a group of its own.
    """

    pairs: list[tuple[int, int, str, float]]
    groups: np.ndarray
    unreadable: dict[int, MediaError]


class _Print(NamedTuple):
    """What is kept of a picture."""

    content: bytes  # a digest
    looks: tuple  # its size, and a digest of the thumbnail
    is_jpeg: bool
    thumbnail: np.ndarray  # uint8 [SIDE, SIDE, 3]


def find(dataset: Dataset, near: bool = True, show_progress: bool | None = None) -> Twins:
    """Find equal and nearly equal pictures.

    "exact" are equal files, and pictures with the same pixels in different files. "near" are pictures whose details
    agree: saved again as another file or smaller, brighter, darker, blurred or without colour, mirrored, with a few
    words written on them, or cut by up to about a twentieth at each side; and pictures that have nearly all details in
    common, as successive frames of a video, or filled-in forms. Not found are pictures that were turned, cut by more,
    or covered for a third or more; nor those with hardly any details, as a clear sky, unless they are equal.

    Each exact copy is paired with the first of its kind, and only that one with others that are near; a picture with
    many of those has pairs with the 16 that seem most alike, and with its neighbours in the dataset. The time is that
    of reading the files, then grows with the square of their number; the memory is about 10 kB a picture.

    Args:
        dataset: the pictures; files, pictures inside files, or arrays.
        near: whether to find nearly equal ones; without, a JPEG and another file with its pixels are not paired either.
        show_progress: as in `detkit.progress.progress`.

    Returns:
        The pairs, with a difference of 0 for equal and of less than 0.12 for nearly equal pictures (one minus the
        correlation of their details), the groups that these pairs connect, and the pictures that can't be read.
    """
    prints, unreadable = _prints(dataset, show_progress)
    first = _first_equal(dataset, prints)
    found = [(int(i), j, "exact", 0.0) for j, i in enumerate(first) if i != j]
    if near:
        alone = np.array([i for i in range(len(dataset)) if first[i] == i and prints[i]], np.int64)
        found += _near(dataset, prints, alone, show_progress)
    return Twins(sorted(found), _connected(len(dataset), found), unreadable)


def _prints(dataset: Dataset, show_progress) -> tuple[list[_Print | None], dict[int, MediaError]]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        taken = pool.map(_print, dataset)
        found = [*progress(taken, total=len(dataset), description="pictures", show=show_progress)]
    unreadable = {i: each for i, each in enumerate(found) if isinstance(each, MediaError)}
    return [None if i in unreadable else each for i, each in enumerate(found)], unreadable


def _print(example: Example) -> _Print | MediaError:
    image = example.image
    try:
        thumbnail = images.thumbnail(image, SIDE)
    except MediaError as error:
        return error
    content = _content(image)
    looks = (example.size, _digest(thumbnail.tobytes()))
    return _Print(_digest(content), looks, content.startswith(b"\xff\xd8\xff"), thumbnail)


def _content(image: Path | EncodedImage | np.ndarray) -> bytes:
    if isinstance(image, np.ndarray):
        return str(image.shape).encode() + np.ascontiguousarray(image).tobytes()
    return image.read_bytes() if isinstance(image, Path) else image.read()


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def _pixels(example: Example) -> bytes:
    """A digest of a picture's pixels, as they are decoded."""
    image = example.image
    return _digest(_content(image if isinstance(image, np.ndarray) else images.decode(image)))


def _first_equal(dataset: Dataset, prints: list[_Print | None]) -> np.ndarray:
    """int [N]: for each picture the first one with the same content or pixels."""
    first, by_content, by_looks = np.arange(len(prints)), {}, defaultdict(list)
    for i, own in enumerate(prints):
        if own is None:
            continue
        first[i] = by_content.setdefault(own.content, i)
        if first[i] == i:
            by_looks[own.looks].append(i)
    for alike in by_looks.values():
        by_pixels: dict[bytes, int] = {}
        for i in alike if len(alike) > 1 else ():
            first[i] = by_pixels.setdefault(_pixels(dataset[i]), i)
    return first[first]


def _near(dataset: Dataset, prints, places: np.ndarray, show_progress) -> Iterator[tuple[int, int, str, float]]:
    """The pairs of nearly equal pictures among those at some places of a dataset."""
    thumbnails = np.array([prints[i].thumbnail for i in places], np.uint8).reshape(-1, SIDE, SIDE, 3)
    for (i, j), alike in _alike(thumbnails, show_progress).items():
        i, j, difference = int(places[i]), int(places[j]), round(max(1 - alike, 0.0), 4)
        differ = prints[i].is_jpeg == prints[j].is_jpeg or dataset[i].size != dataset[j].size
        if differ or difference > _SAME or _pixels(dataset[i]) != _pixels(dataset[j]):
            yield i, j, "near", difference
        else:
            yield i, j, "exact", 0.0


def _alike(thumbnails: np.ndarray, show_progress) -> dict[tuple[int, int], float]:
    """{(i, j): likeness} of thumbnails uint8 [N, S, S, 3] that are nearly equal, i < j."""
    starts = range(0, len(thumbnails), _ROWS)
    described = [descriptions(thumbnails[start : start + _ROWS]) for start in starts]
    described = np.concatenate(described, 1) if described else np.zeros((4, 0, 64), np.float32)
    bar = progress(starts, description="twins", show=show_progress)
    candidates = np.concatenate([_neighbours(described), *(_candidates(described, start) for start in bar)])
    candidates = np.unique(candidates, axis=0)  # a pair was seen from both sides
    found: dict[tuple[int, int], float] = {}
    with progress(total=len(candidates), description="compare", show=show_progress) as bar:
        for start in range(0, len(candidates), _PAIRS):
            i, j, mirrored = candidates[start : start + _PAIRS].T
            a = np.where(mirrored[:, None, None, None] == 1, thumbnails[i][:, :, ::-1], thumbnails[i])
            for *pair, alike in zip(i.tolist(), j.tolist(), likeness(a, thumbnails[j]).tolist(), strict=True):
                found[tuple(pair)] = max(alike, found.get(tuple(pair), 0.0))
            bar.update(len(i))
    return {pair: alike for pair, alike in found.items() if alike >= _ALIKE}


def _neighbours(described: np.ndarray) -> np.ndarray:
    """The candidates, as of `_candidates`, that follow each other.

    Each frame of a video may have more others that are very alike than are compared, and be alike to the next.
    """
    products = np.einsum("vnd,nd->vn", described[:, :-1], described[0, 1:])
    first = np.flatnonzero(products.max(0) > _CANDIDATE)
    return np.stack([first, first + 1, products[:, first].argmax(0) % 2], 1)


def _candidates(described: np.ndarray, start: int) -> np.ndarray:
    """int [M, 3], (i, j, whether one is mirrored) with i < j: what may be alike among descriptions [4, N, 64].

    Of the pictures from `start` on, with all pictures.
    """
    rows = described[:, start : start + _ROWS]
    found = [(np.zeros(0, np.int64),) * 3 + (np.zeros(0, np.float32),)]
    for left in range(0, described.shape[1], _COLUMNS):
        products = rows @ described[0, left : left + _COLUMNS].T  # [4, rows, columns]
        best = products.max(0)
        own = np.arange(max(start, left), min(start + best.shape[0], left + best.shape[1]))
        best[own - start, own - left] = -1  # a picture and itself
        row, column = _highest(best)
        found.append((row, column + left, products[:, row, column].argmax(0) % 2, best[row, column]))
    row, column, is_mirrored, values = (np.concatenate(each) for each in zip(*found, strict=True))
    order = np.lexsort((column, -values, row))
    row, column, is_mirrored = row[order], column[order], is_mirrored[order]
    kept = np.arange(len(row)) - np.searchsorted(row, row) < _MOST
    ends = np.sort(np.stack([row + start, column])[:, kept], 0)
    return np.stack([*ends, is_mirrored[kept]], 1)


def _highest(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the values [R, C] that make candidates; the highest ones of a row that has many."""
    passing = values > _CANDIDATE
    if passing.sum() > _MOST * len(values):
        top = np.argpartition(-values, _MOST, 1)[:, :_MOST]
        kept = np.zeros_like(passing)
        np.put_along_axis(kept, top, True, 1)
        passing &= kept
    return np.divmod(np.flatnonzero(passing), values.shape[1])


def _connected(n: int, found: list[tuple[int, int, str, float]]) -> np.ndarray:
    """int [n]: the number of the group of each, when pairs connect."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = np.array([pair[:2] for pair in found], np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(ends.shape[1], bool), tuple(ends)), shape=(n, n))
    labels = connected_components(graph, directed=False)[1] if n else np.zeros(0, int)
    _, first, groups = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[groups.ravel()]
