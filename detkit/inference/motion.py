"""Boxes that move at a constant velocity: a Kalman filter for many boxes at once, at any intervals of time."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

# Parts of a box's longer side. ByteTrack's noises are those of one frame; here, of 1/30 second, they grow with time.
_RATE = 30
_MEASURED = 1 / 20
_POSITION_NOISE = (1 / 20) ** 2 * _RATE  # variance gained in a second
_VELOCITY_NOISE = (_RATE / 160) ** 2 * _RATE
_FIRST_POSITION, _FIRST_VELOCITY = 2 * _MEASURED, 10 * _RATE / 160


@dataclass
class Motion:
    """Where boxes are, how they move, and how sure that is.

    Source: Bewley et al., Simple online and realtime tracking, 2016, with the noises of Zhang et al., ByteTrack,
    2022. Those are alike for the four numbers of a box, so that all share one 2 x 2 covariance.

    Attributes:
        place: float64 [T, 4], [xcentre, ycentre, width, height] in pixels.
        velocity: float64 [T, 4], of those, in pixels a second.
        covariance: float64 [T, 3]: variance of the place, covariance with the velocity, variance of the velocity.
    """

    place: np.ndarray
    velocity: np.ndarray
    covariance: np.ndarray

    @classmethod
    def starting(cls, place: np.ndarray) -> Motion:
        """Boxes [T, 4] seen for the first time, at rest as far as is known."""
        first = np.array([_FIRST_POSITION**2, 0, _FIRST_VELOCITY**2])
        return cls(place, np.zeros_like(place), _side(place)[:, None] ** 2 * first)  # [T, 1] * [3]

    def predict(self, seconds: float, unseen: np.ndarray) -> None:
        """Moves all boxes on by this time; those `unseen` (bool [T]) of late keep their size, which is a guess."""
        self.velocity[unseen, 2:] = 0
        self.place = self.place + seconds * self.velocity
        self.place[:, 2:] = np.maximum(self.place[:, 2:], 1)
        place, both, velocity = self.covariance.T
        noise = _side(self.place) ** 2
        drift = _VELOCITY_NOISE * noise * seconds
        gained = _POSITION_NOISE * noise * seconds + drift * seconds**2 / 3
        self.covariance = np.stack([
            place + 2 * seconds * both + seconds**2 * velocity + gained,
            both + seconds * velocity + drift * seconds / 2,
            velocity + drift,
        ], axis=1)  # fmt: skip

    def correct(self, rows: np.ndarray, seen: np.ndarray) -> None:
        """Takes in where the boxes of these rows were seen: [len(rows), 4]."""
        place, both, velocity = self.covariance[rows].T
        total = place + (_MEASURED * _side(seen)) ** 2
        surprise = seen - self.place[rows]
        self.place[rows] += (place / total)[:, None] * surprise
        self.velocity[rows] += (both / total)[:, None] * surprise
        kept = 1 - place / total
        self.covariance[rows] = np.stack([place * kept, both * kept, velocity - both**2 / total], axis=1)

    def __getitem__(self, rows) -> Motion:
        return Motion(*(getattr(self, field.name)[rows] for field in fields(self)))

    def joined(self, other: Motion) -> Motion:
        """These boxes and after them the others."""
        pairs = ((getattr(self, field.name), getattr(other, field.name)) for field in fields(self))
        return Motion(*(np.concatenate(pair) for pair in pairs))


def _side(place: np.ndarray) -> np.ndarray:
    """The longer side [T] of boxes [T, 4]; at least a pixel."""
    return np.maximum(place[:, 2:].max(axis=1), 1)
