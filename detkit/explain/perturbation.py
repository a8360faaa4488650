"""Maps that need no look inside a model: hide parts of a picture, and see what becomes of the answer.

Sources: Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014 (occlusion); Petsiuk et al.,
"RISE", 2018, and "Black-box explanation of object detectors via saliency maps" (D-RISE), 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from detkit.progress import progress

BATCH = 16  # pictures that are answered together


def rise(
    answer: Callable,
    picture: np.ndarray,
    masks: int = 400,
    cells: int = 16,
    seed: int = 0,
    show_progress: bool | None = False,
) -> np.ndarray:
    """The answer's mean over random masks that leave a pixel visible, less its mean over those that hide it.

    With an answer of how much a detection is still there, it is D-RISE. Masks come in pairs, each with its negative,
    and what they hide is replaced by the picture's mean colour. Two standard errors are taken off, towards 0: what
    chance alone would show with so few masks.

    Args:
        answer: pictures uint8 [N, h, w, 3] -> scores [N].
        picture: uint8 [h, w, 3].
        masks: how many; more make a smoother map.
        cells: of the coarse random grid behind a mask, along each side of the picture.

    Returns:
        float32 [h, w]; above 0 where being visible helps.
    """
    size = picture.shape[:2]
    # [h, w] sums over the masks: of what is visible, and of it times the answers.
    visible, answered, all_scores = np.zeros(size), np.zeros(size), []
    drawn = _masks(np.random.default_rng(seed), masks, size, cells)
    for batch in _batches(drawn, masks, "masks", show_progress):
        all_scores.append(answer(_covered(picture, batch)))
        visible += batch.sum(axis=0)
        # Only differences count; so nothing is left of an answer that is always the same.
        answered += np.tensordot(all_scores[-1] - all_scores[0][0], batch, 1)
    scores = np.concatenate(all_scores).astype(np.float64) - all_scores[0][0]
    shown, hidden = np.maximum(visible, 1e-6), np.maximum(masks - visible, 1e-6)
    found = answered / shown - (scores.sum() - answered) / hidden
    chance = 2 * scores.std() * np.sqrt(1 / shown + 1 / hidden)
    return (np.sign(found) * np.maximum(np.abs(found) - chance, 0.0)).astype(np.float32)


def occlusion(
    answer: Callable,
    picture: np.ndarray,
    patches: int = 8,
    show_progress: bool | None = False,
) -> np.ndarray:
    """How much of the answer is lost where a square patch of the picture's mean colour hides a place.

    Args:
        answer, picture: as for `rise`.
        patches: how many fit along the picture's shorter side; they overlap by half.

    Returns:
        float32 [h, w], the mean loss of the patches over a pixel.
    """
    size = picture.shape[:2]
    side = max(1, round(min(size) / patches))
    starts = [range(0, max(n - side // 2, 1), max(1, side // 2)) for n in size]
    places = [(top, left) for top in starts[0] for left in starts[1]]
    whole = float(answer(picture[None])[0])
    lost, covers = np.zeros(size), np.zeros(size)
    holes = (_hole(size, place, side) for place in places)
    for batch in _batches(holes, len(places), "patches", show_progress):
        hidden = 1.0 - batch
        lost += np.tensordot(whole - answer(_covered(picture, batch)), hidden, 1)
        covers += hidden.sum(axis=0)
    return (lost / covers).astype(np.float32)


def _masks(rng, count: int, size: tuple[int, int], cells: int) -> Iterator[np.ndarray]:
    """Random masks [h, w] of 0..1: coarse grids, enlarged and shifted by a part of a cell."""
    import cv2

    height, width = size
    cell = [-(-n // cells) for n in size]
    enlarged = ((cells + 1) * cell[1], (cells + 1) * cell[0])
    for number in range(count):
        if number % 2 == 0:
            grid = (rng.random((cells + 1, cells + 1)) < 0.5).astype(np.float32)
            top, left = (int(rng.integers(n)) for n in cell)
        else:
            grid = 1.0 - grid
        mask = cv2.resize(grid, enlarged, interpolation=cv2.INTER_LINEAR)
        yield mask[top : top + height, left : left + width]


def _hole(size: tuple[int, int], place: tuple[int, int], side: int) -> np.ndarray:
    mask = np.ones(size, np.float32)
    mask[place[0] : place[0] + side, place[1] : place[1] + side] = 0.0
    return mask


def _covered(picture: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """The picture behind masks [N, h, w], uint8 [N, h, w, 3]."""
    ground = picture.mean(axis=(0, 1), dtype=np.float32)
    return np.rint(ground + masks[..., None] * (picture - ground)).astype(np.uint8)  # [N, h, w, 1] * [h, w, 3]


def _batches(masks: Iterable, total: int, words: str, show: bool | None) -> Iterator[np.ndarray]:
    with progress(total=total, description=words, show=show) as bar:
        batch = []
        for mask in masks:
            batch.append(mask)
            if len(batch) == BATCH:
                yield np.stack(batch)
                bar.update(len(batch))
                batch = []
        if batch:
            yield np.stack(batch)
            bar.update(len(batch))
