"""How alike pictures are: a short description to find candidates by, and a comparison after laying one on the other."""

from __future__ import annotations

import numpy as np

SIDE = 48  # pixels of a thumbnail
_FREQUENCIES = 8  # of each direction in a description
_FLAT = 1.0  # grey levels; what varies less has no features to be told by
_CUT = 0.05  # of each side: how much less the second description of a picture sees
_FINE, _COARSE = 0.7, 2.5  # pixels of a thumbnail; details between these sizes are compared
_NOISE = 0.1  # squared grey levels that are no detail
_LEVELS = ((4, 0.5), (2, 0.6), (1, 1.0))  # shrunk by; the likeness below which it is not worth going on
_STEPS = 5
_FARTHEST = np.array([0.12, 0.25, 0.12, 0.25], np.float32)  # shift and growth, in halves of a side


def descriptions(thumbnails: np.ndarray) -> np.ndarray:
    """Unit vectors whose inner products tell which pictures may be alike, for each of four ways to see them.

    They are the low frequencies of the brightness, the higher ones weighted up by what photos have less of them.

    Args:
        thumbnails: uint8 [N, S, S, 3].

    Returns:
        float32 [4, N, 64]: of the pictures as they are, mirrored, with their margins cut off, and both; zeros for a
        picture of one colour.
    """
    from scipy.fft import dctn

    small = _shrunk(_brightness(thumbnails), 2)
    cut = _without_margins(small)
    rows, columns = np.mgrid[:_FREQUENCIES, :_FREQUENCIES]
    found = []
    for seen in (small, small[:, :, ::-1], cut, cut[:, :, ::-1]):
        waves = dctn(seen, axes=(1, 2), norm="ortho")[:, :_FREQUENCIES, :_FREQUENCIES]
        waves[:, 0, 0] = 0  # the brightness as a whole
        flat = np.sqrt((waves**2).sum((1, 2))) < _FLAT * small.shape[1]
        waves = (waves * np.hypot(rows, columns)).reshape(len(waves), -1)
        waves[flat] = 0
        found.append(waves / np.maximum(np.linalg.norm(waves, axis=1, keepdims=True), 1e-6))
    return np.stack(found).astype(np.float32)


def likeness(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How well the details of pictures agree, where one may be brighter, or a part that lacks up to a tenth of a side.

    One picture is laid on the other by Gauss-Newton steps from coarse to fine, as by Lucas and Kanade (1981); of that
    and the pictures as they lie the better one counts.

    Args:
        a, b: uint8 [P, S, S, 3], thumbnails.

    Returns:
        float32 [P]: the correlation of what lies where both are: 1 the same, 0 nothing in common.
    """
    details, other = _details(a), _details(b)
    best = _correlation(details, other, 1.0)
    grey, aim = _even(_brightness(a)), _even(_brightness(b))
    place = np.zeros((len(a), 4), np.float32)
    going = np.flatnonzero(best < 0.97)
    for factor, enough in _LEVELS:
        if not len(going):
            break
        place[going] = _laid(_shrunk(grey[going], factor), _shrunk(aim[going], factor), place[going])
        seen, inside = _seen(details[going], place[going])
        now = _correlation(seen, other[going], inside)
        near = (np.abs(place[going]) <= _FARTHEST).all(1)
        best[going] = np.maximum(best[going], np.where(near, now, -1))
        going = going[now > enough]
    return best


def _brightness(thumbnails: np.ndarray) -> np.ndarray:
    return thumbnails @ np.array([0.299, 0.587, 0.114], np.float32)


def _shrunk(pictures: np.ndarray, factor: int) -> np.ndarray:
    """Pictures [N, S, S] of a fraction of the side: means of squares."""
    n, side = len(pictures), pictures.shape[1] // factor
    return pictures.reshape(n, side, factor, side, factor).mean((2, 4))


def _without_margins(pictures: np.ndarray) -> np.ndarray:
    """The inner parts of pictures, stretched to their size."""
    side = pictures.shape[1]
    rows = np.broadcast_to((_grid(side) * (1 - 2 * _CUT) + 1) * side / 2 - 0.5, (len(pictures), side))
    return _sampled(_sampled(pictures, rows, 1), rows, 2)


def _even(pictures: np.ndarray) -> np.ndarray:
    """Pictures [N, S, S] of mean 0 and standard deviation about 1."""
    spread = pictures.std((1, 2), keepdims=True)
    return (pictures - pictures.mean((1, 2), keepdims=True)) / (spread + 1)


def _details(thumbnails: np.ndarray) -> np.ndarray:
    """What is finer than shades and coarser than what resampling changes, float32 [P, S, S, 3]."""
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(thumbnails.astype(np.float32), (0, _FINE, _FINE, 0))
    return smooth - gaussian_filter(smooth, (0, _COARSE, _COARSE, 0))


def _correlation(a: np.ndarray, b: np.ndarray, inside) -> np.ndarray:
    """The correlation of details [P, S, S, 3] inside of masks [P, S, S, 1]."""
    a, b = a * inside, b * inside
    noise = _NOISE * np.broadcast_to(inside, a.shape).sum((1, 2, 3))
    products = [np.einsum("pyxc,pyxc->p", one, other) for one, other in ((a, b), (a, a), (b, b))]
    return products[0] / (np.sqrt(products[1] * products[2]) + noise + 1e-6)


def _grid(side: int) -> np.ndarray:
    """The middles of pixels, from -1 to 1."""
    return (np.arange(side, dtype=np.float32) + 0.5) * 2 / side - 1


def _sampled(pictures: np.ndarray, places: np.ndarray, axis: int) -> np.ndarray:
    """Pictures [P, S, S, ...] at places [P, S] along an axis, in pixels, between two pixels in proportion."""
    shape = [len(pictures), *np.ones(pictures.ndim - 1, int)]
    shape[axis] = places.shape[1]
    below = np.clip(np.floor(places), 0, pictures.shape[axis] - 2).astype(np.int64)
    part = np.clip(places - below, 0, 1).astype(np.float32).reshape(shape)
    below = below.reshape(shape)
    first, second = (np.take_along_axis(pictures, below + step, axis) for step in (0, 1))
    return first + (second - first) * part


def _seen(pictures: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pictures [P, S, S, ...] as they are at places, and float32 [P, S, S, 1...]: whether there is anything.

    Where a place is (y, growth, x, growth), the pixel at g from -1 to 1 is taken from y + (1 + growth) * g.
    """
    side = pictures.shape[1]
    rows, columns = (place[:, i : i + 1] + (1 + place[:, i + 1 : i + 2]) * _grid(side) for i in (0, 2))
    pixels = [(each + 1) * side / 2 - 0.5 for each in (rows, columns)]
    seen = _sampled(_sampled(pictures, pixels[0], 1), pixels[1], 2)
    inside = (np.abs(rows) <= 1)[:, :, None] & (np.abs(columns) <= 1)[:, None, :]
    return seen, inside.reshape(*inside.shape, *[1] * (pictures.ndim - 3)).astype(np.float32)


def _laid(pictures: np.ndarray, aim: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Better places for pictures [P, S, S] to look like others; contrast and brightness may differ."""
    side = pictures.shape[1]
    grid = _grid(side)
    for _ in range(_STEPS):
        seen, inside = _seen(pictures, place)
        down = np.gradient(seen, axis=1) * (side / 2 / (1 + place[:, 1]))[:, None, None]
        right = np.gradient(seen, axis=2) * (side / 2 / (1 + place[:, 3]))[:, None, None]
        columns = (down, down * grid[:, None], right, right * grid, seen, np.ones_like(seen))
        slopes = (np.stack(columns, 1) * inside[:, None]).reshape(len(place), 6, -1)  # [P, 6, S * S]
        wanted = slopes @ (aim * inside).reshape(len(place), -1, 1)
        square = slopes @ slopes.swapaxes(1, 2) + 1e-3 * side * np.eye(6, dtype=np.float32)
        found = np.linalg.solve(square, wanted)[..., 0]
        contrast = np.maximum(found[:, 4:5], 0.2)
        place = np.clip(place + np.clip(found[:, :4] / contrast, -0.1, 0.1), -0.35, 0.35)
    return place
